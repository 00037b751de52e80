const LONGEST_HINT = 600_000;

/**
 * Full jitter: anywhere between nothing and `base * 2^attempt`, at most `cap` (all ms).
 * @param {number} attempt @param {number} base @param {number} cap
 */
export const jitter = (attempt, base, cap) => Math.random() * Math.min(cap, base * 2 ** Math.min(attempt, 30));

/** The wait in ms a server asks for in a close reason, `retry_after_ms=N`. @param {string} [reason] */
export const hint = (reason) => Math.min(LONGEST_HINT, Number(/retry_after_ms=(\d+)/.exec(reason ?? "")?.[1] ?? 0));
