// Requests to the control API of this sink.

export class Problem extends Error {
  constructor(status, document) {
    const flaw = document.errors && document.errors[0];
    super(document.detail || (flaw && flaw.message) || document.title || `status ${status}`);
    this.status = status;
  }
}

export async function ask(method, path, body) {
  const options = { method, headers: { Accept: 'application/json' }, cache: 'no-store', credentials: 'same-origin', signal: AbortSignal.timeout(10000) };
  if (body !== undefined) {
    options.headers['Content-Type'] = 'application/json';
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options);
  const text = await response.text();
  let document = {};
  try {
    document = text ? JSON.parse(text) : {};
  } catch {
    // an answer of something in between
  }
  if (!response.ok) throw new Problem(response.status, document);
  return document;
}
