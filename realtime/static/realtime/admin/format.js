/** Durations and sizes as people read them. */

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

/** @param {number} seconds @returns {string} the largest unit and the next, such as `3 h 12 min` */
export function duration(seconds) {
  let left = Math.max(0, Math.floor(seconds));
  const parts = [];
  for (const [size, unit] of UNITS) {
    if (left >= size || parts.length || size === 1) parts.push(`${Math.floor(left / size)} ${unit}`);
    left %= size;
  }
  return parts.slice(0, 2).join(" ");
}

/** @param {number} moment @param {number} now both in Unix seconds */
export const since = (moment, now) => (moment ? duration(now - moment) : "–");

/** @param {number} count */
export function bytes(count) {
  const sizes = ["B", "KB", "MB", "GB"];
  let at = 0;
  for (; count >= 1024 && at < 3; at += 1) count /= 1024;
  return `${at ? count.toFixed(1) : count} ${sizes[at]}`;
}
