/** Numbers -> a line as large as a word, without axes: which way it goes. Gaps (NaN, infinity) stay gaps. */
export function SparkLine({ values, width, height, label }: { values: readonly number[]; width: number; height: number; label?: string }) {
  const finite = values.filter(Number.isFinite);
  if (finite.length < 2) return <svg class="gs-spark" width={width} height={height} aria-hidden="true" />;
  // From zero where that is not far away, so that a plateau looks like one; a loss may also be negative.
  const [low, high] = [Math.min(0, ...finite), Math.max(...finite)];
  const x = (i: number) => 1 + (i * (width - 2)) / (values.length - 1);
  const y = (v: number) => (high === low ? height / 2 : height - 1 - ((v - low) / (high - low)) * (height - 2));
  let pen = "M";
  const path = values.map((v, i) => {
    if (!Number.isFinite(v)) {
      pen = "M";
      return "";
    }
    const part = `${pen}${x(i).toFixed(1)} ${y(v).toFixed(1)}`;
    pen = "L";
    return part;
  });
  const name = label ? { role: "img" as const, "aria-label": `${label}, ${finite.length} points` } : { "aria-hidden": "true" as const };
  return <svg class="gs-spark" width={width} height={height} viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" {...name}><path d={path.join("")} /></svg>;
}
