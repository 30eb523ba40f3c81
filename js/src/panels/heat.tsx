/** A grid of cells -> one pixel each, stretched: densities and drifts. */

import { useLayoutEffect, useRef } from "preact/hooks";
import { type Rgb, type Theme, readTheme } from "../base/theme";
import { useStore } from "../store/state";

interface Props {
  rows: number;
  columns: number;
  width: number;
  height: number;
  /** Colour of a cell; null leaves the ground. Made anew when the theme changes. */
  colour: (theme: Theme) => (row: number, column: number) => Rgb | null;
  label: string;
  /** What the picture depends on. */
  of: readonly unknown[];
}

export function Heat({ rows, columns, width, height, colour, label, of }: Props) {
  const { themed } = useStore();
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    const element = canvas.current;
    const root = element?.closest<HTMLElement>(".gs");
    const context = element?.getContext("2d");
    if (!element || !root || !context || !rows || !columns) return;
    const image = context.createImageData(columns, rows);
    const at = colour(readTheme(root));
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const rgb = at(row, column);
        if (rgb) image.data.set([rgb[0], rgb[1], rgb[2], 255], 4 * (row * columns + column));
      }
    }
    context.putImageData(image, 0, 0);
  }, [themed.value, rows, columns, ...of]);
  return <canvas ref={canvas} class="gs-heat" role="img" aria-label={label} width={Math.max(1, columns)} height={Math.max(1, rows)} style={{ width: `${width}px`, height: `${height}px` }} />;
}
