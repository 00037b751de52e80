/** The gateway's REST API, as this page uses it. */

/**
 * @param {string} path
 * @param {{ token?: string, body?: any }} [options] with a body it is a POST
 * @returns {Promise<any>} rejects with the server's words and `status`
 */
export async function call(path, { token, body } = {}) {
  /** @type {Record<string, string>} */
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, {
    method: body === undefined ? "GET" : "POST", headers, body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    const said = answer.detail ?? Object.values(answer).flat().join(" ");
    throw Object.assign(new Error(said || `HTTP ${response.status}`), { status: response.status });
  }
  return answer;
}
