// Moments in a chart at which something began: a dashed line from top to bottom, with its name.
import type uPlot from "uplot";

/** `at` in µs since 1970; `color` is CSS. */
export interface Mark {
  at: number;
  label: string;
  color: string;
}

export function drawMarks(u: uPlot, marks: readonly Mark[], colorOf: (css: string) => string): void {
  const { ctx, bbox } = u;
  const pixel = devicePixelRatio;
  ctx.save();
  ctx.font = `${11 * pixel}px ${getComputedStyle(u.root).fontFamily}`;
  ctx.lineWidth = pixel;
  ctx.textBaseline = "top";
  let free = [bbox.left, bbox.left];
  for (const mark of marks.toSorted((a, b) => a.at - b.at)) {
    const x = u.valToPos(mark.at / 1e6, "x", true);
    const width = ctx.measureText(mark.label).width + 8 * pixel;
    ctx.strokeStyle = ctx.fillStyle = colorOf(mark.color);
    ctx.setLineDash([4 * pixel, 3 * pixel]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const isLeft = x + width > bbox.left + bbox.width;
    const left = isLeft ? x - width : x;
    // Two rows of names; one that would cover another is only a line.
    const row = free.findIndex((end) => left >= end);
    if (row < 0) continue;
    free = free.map((end, i) => (i === row ? left + width : end));
    ctx.fillText(mark.label, left + 4 * pixel, bbox.top + row * 13 * pixel);
  }
  ctx.restore();
}
