// What the server tells, as it comes. A view is a set of parts under keys; after the first event, which has
// all of them, only what has changed is told.

export class Stream {
  /**
   * `change(changed, gone, parts)` is called at most once a frame, with the keys that have changed and gone.
   * `trouble(text)` is called when the dashboard itself does not answer, and with `null` when it does again.
   */
  constructor(path, { change, trouble, others = {} }) {
    Object.assign(this, { path, change, trouble, others });
    this.parts = new Map();
    this.changed = new Set();
    this.gone = new Set();
    this.visibility = () => (document.hidden ? this.disconnect() : this.connect());
    document.addEventListener('visibilitychange', this.visibility);
    if (!document.hidden) this.connect();
  }

  /** A page that nobody sees asks for nothing. */
  connect() {
    if (this.source || this.closed) return;
    const source = new EventSource(this.path);
    this.source = source;
    source.addEventListener('open', () => this.trouble?.(null));
    source.addEventListener('error', () => this.fail(source));
    source.addEventListener('parts', (event) => this.take(JSON.parse(event.data)));
    for (const [name, handler] of Object.entries(this.others)) {
      source.addEventListener(name, (event) => handler(JSON.parse(event.data)));
    }
  }

  disconnect() {
    clearTimeout(this.retry);
    this.source?.close();
    this.source = null;
  }

  close() {
    this.closed = true;
    document.removeEventListener('visibilitychange', this.visibility);
    this.disconnect();
  }

  async fail(source) {
    // A stream that has merely broken off is asked for again by the browser.
    if (source !== this.source) return;
    const over = source.readyState === EventSource.CLOSED;
    let text = 'The dashboard does not answer. It is being tried again.';
    let refused = false;
    try {
      const answer = await fetch('/api/about');
      refused = answer.status === 401;
      if (refused) text = 'The dashboard was started again: open the address that it has printed.';
      else if (answer.ok && !over) return;
      if (over && answer.ok) {
        const why = await fetch(this.path, { method: 'HEAD' });
        if (why.status === 400 || why.status === 403) {
          refused = true;
          text = 'The dashboard refuses to show this.';
        }
      }
    } catch {
      // It is as the text says.
    }
    if (this.closed || source !== this.source) return;
    this.trouble?.(text);
    if (over) {
      this.disconnect();
      if (!refused) this.retry = setTimeout(() => document.hidden || this.connect(), 1000);
    }
  }

  take({ full, set, gone }) {
    if (full) {
      for (const key of this.parts.keys()) if (!(key in set)) gone.push(key);
    }
    for (const key of gone) {
      this.parts.delete(key);
      this.changed.delete(key);
      this.gone.add(key);
    }
    for (const [key, part] of Object.entries(set)) {
      this.parts.set(key, part);
      this.gone.delete(key);
      this.changed.add(key);
    }
    if (!this.frame) this.frame = requestAnimationFrame(() => this.flush());
  }

  flush() {
    this.frame = null;
    if (this.closed) return;
    const [changed, gone] = [this.changed, this.gone];
    this.changed = new Set();
    this.gone = new Set();
    this.change(changed, gone, this.parts);
  }
}
