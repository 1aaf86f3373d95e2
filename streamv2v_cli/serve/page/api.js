/* Requests to the server; the token, where there is one, is in a cookie. */

export async function request(method, path, content) {
  const options = { method, cache: "no-store" };
  if (content !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(content);
  }
  const answer = await fetch(path, options);
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error || `The server answered ${answer.status}.`);
  return { status: answer.status, body };
}

/* For the moment in which a page goes away. */
export function farewell(content) {
  navigator.sendBeacon("leave", new Blob([JSON.stringify(content)], { type: "application/json" }));
}
