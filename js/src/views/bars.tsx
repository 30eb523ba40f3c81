/** The health meter lying down: half full is healthy, beyond one decade it takes the colour of its direction. */

interface Props {
  /** Decades from healthy, -3 to 3; null: not measured. */
  level: number | null;
  role: "activation" | "gradient";
}

export function MicroBar({ level, role }: Props) {
  if (level === null) return <svg width="20" height="12" aria-hidden="true" />;
  const at = Math.abs(level) <= 0.4 ? 0 : level;
  const colour = at < -1 ? "edge-low" : at > 1 ? "edge-high" : role;
  return (
    <svg width="20" height="12" aria-hidden="true">
      <rect x="0" y="3" width="20" height="6" rx="1" fill="var(--gs-hover)" />
      <rect x="0" y="3" width={Math.max(2, ((at + 3) / 6) * 20)} height="6" rx="1" fill={`var(--gs-${colour})`} />
      <path d="M10 1v10" stroke="var(--gs-bg)" stroke-width="1.5" />
    </svg>
  );
}

/** The same in words, for those who hear the page. */
export function levelText(level: number | null, name: string): string {
  if (level === null) return "";
  if (level < -1) return `${name} small`;
  return level > 1 ? `${name} large` : `${name} healthy`;
}
