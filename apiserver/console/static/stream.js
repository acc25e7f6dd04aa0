// Answers that come line by line, asked for with the token of whoever looks and nothing else.

const PAUSE_MS_MAX = 10000;

/** The server has refused: its code, and what it says. */
export class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** Requests as one user. The token lives in this object alone: no cookie, no storage, no URL. */
export class Session {
  #token;
  #ended = new AbortController();

  constructor(token) {
    this.#token = token;
  }

  /** Ends whatever is under way. */
  end() {
    this.#token = "";
    this.#ended.abort();
  }

  get isEnded() {
    return this.#ended.signal.aborted;
  }

  async #ask(path, accept, signal) {
    const headers = { Accept: accept };
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    const signals = [this.#ended.signal, ...(signal ? [signal] : [])];
    const answer = await fetch(path, {
      headers,
      cache: "no-store",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.any(signals),
    });
    if (!answer.ok) throw new Refused(answer.status, await reason(answer));
    return answer;
  }

  /** An object. */
  async get(path, accept = "application/json") {
    return (await this.#ask(path, accept)).json();
  }

  /** Calls `take` with each line of an answer, decoded, until it ends. */
  async lines(path, take, signal) {
    const answer = await this.#ask(path, "application/json", signal);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const part of parts) if (part) take(JSON.parse(part));
    }
  }

  /** The same, again and again: an answer that ends is asked for anew. `ask` returns when one has
   *  ended; `told` hears of what went wrong; false from it ends the whole. */
  async keep(ask, told) {
    let pauseMs = 500;
    while (!this.isEnded) {
      const beganMs = performance.now();
      try {
        await ask();
      } catch (error) {
        if (this.isEnded || told(error) === false) return;
      }
      if (performance.now() - beganMs > PAUSE_MS_MAX) pauseMs = 500;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      pauseMs = Math.min(PAUSE_MS_MAX, pauseMs * 2);
    }
  }
}

async function reason(answer) {
  try {
    return (await answer.json()).message || answer.statusText;
  } catch {
    return answer.statusText;
  }
}
