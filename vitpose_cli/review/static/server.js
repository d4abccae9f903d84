// What the server is asked.

export class ServerError extends Error {
  constructor(status, body) {
    super([body.error, body.hint].filter(Boolean).join(' '));
    this.status = status;
    this.body = body;
  }
}

export const LOST =
  'The server does not answer. Start `vitpose review` again and open its new link.';

/** Ask the server for something, or send it an edit; where it does not answer, `LOST` is thrown. */
export async function ask(path, edit, options = {}) {
  const post = edit && {
    method: 'POST',
    headers: {'Content-Type': 'application/json'},
    body: JSON.stringify(edit),
  };
  const [response, text] = await fetch(`api/${path}`, {...post, ...options})
    .then(async (answer) => [answer, await answer.text()])
    .catch(() => {
      throw new Error(LOST);
    });
  if (response.ok) return JSON.parse(text);
  let body = {error: text.split('\n')[0], hint: ''};
  try {
    body = JSON.parse(text);
  } catch {
    /* the guard speaks plain text */
  }
  throw new ServerError(response.status, body);
}
