/** Close codes after which the client does not come back by itself, and why. Any other code: backoff, reconnect. */
export const TERMINAL = new Map([
  [1002, "protocol error"],
  [1003, "binary refused"],
  [1007, "bad UTF-8"],
  [1009, "message too big"],
  [1010, "extension missing"],
  [4403, "forbidden"],
  [4409, "too many connections"],
  [4429, "rate limit"],
]);

/** The token was refused: terminal only when there is no other token to be had. */
export const UNAUTHORIZED = 4401;

/** The link gave no sign of life. */
export const DEAD = 4408;

/** A refused, lost or late request; `code` as in HTTP: 408 late, 413 too large, 429 queue full, 503 link lost. */
export class GatewayError extends Error {
  /** @param {number} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.name = "GatewayError";
    this.code = code;
  }
}
