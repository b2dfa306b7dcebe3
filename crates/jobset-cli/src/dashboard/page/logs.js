// The logs of the chosen Pods, as they are printed.

import { clock, count, h, setText, show } from './dom.js';
import { Stream } from './stream.js';

/** Lines that are kept in the page. */
const LINES = 2000;
const FIELDS = ['role', 'job', 'pod', 'container', 'grep', 'previous'];

export class Logs {
  constructor(path, go) {
    this.path = `${path}/logs`;
    this.go = go;
    const changed = () => this.submit();
    this.role = h('select', { 'aria-label': 'Role', onchange: changed }, h('option', { value: '' }, 'all roles'));
    const index = (name) => h('input', {
      type: 'text', inputmode: 'numeric', pattern: '[0-9]*', size: '4', placeholder: 'all', 'aria-label': name, onchange: changed,
    });
    this.job = index('Job index');
    this.pod = index('Pod index');
    this.grep = h('input', {
      type: 'search', class: 'filter', placeholder: 'Regular expression', 'aria-label': 'Only lines that match', autocomplete: 'off',
      spellcheck: 'false', onchange: changed,
    });
    this.previous = h('input', { type: 'checkbox', onchange: changed });
    this.follow = h('input', { type: 'checkbox', checked: true, onchange: () => this.toEnd() });
    this.status = h('p', { class: 'faint', role: 'status' });
    this.lines = h('div', { class: 'lines', role: 'log', tabindex: '0', 'aria-label': 'Log lines' });
    this.lines.addEventListener('scroll', () => this.scrolled(), { passive: true });
    this.element = h('div', { class: 'logs' },
      h('div', { class: 'bar' },
        h('label', {}, 'Role ', this.role), h('label', {}, 'Job ', this.job), h('label', {}, 'Pod ', this.pod), this.grep,
        h('label', {}, this.follow, ' Follow'),
        h('label', { title: 'Also earlier attempts and earlier runs of containers, as far as they are still there' }, this.previous, ' Earlier attempts')),
      this.status, this.lines);
    this.waiting = [];
    this.roles = [];
    this.query = {};
  }

  draw(changed, gone, parts) {
    if (!changed.has('set')) return;
    const roles = parts.get('set').roles.map((role) => role.name);
    if (roles.join('\n') === this.roles.join('\n')) return;
    this.roles = roles;
    this.role.replaceChildren(h('option', { value: '' }, 'all roles'), ...roles.map((name) => h('option', { value: name }, name)));
    this.role.value = this.query.role ?? '';
  }

  /** Says what is wanted in the address; that brings it back to `enter`. */
  submit() {
    const query = {
      role: this.role.value, job: this.job.value.trim(), pod: this.pod.value.trim(), container: this.query.container ?? '',
      grep: this.grep.value, previous: this.previous.checked ? '1' : '',
    };
    this.go(query);
  }

  enter(query) {
    const text = new URLSearchParams(FIELDS.filter((name) => query[name]).map((name) => [name, query[name]])).toString();
    this.query = query;
    this.role.value = query.role ?? '';
    this.job.value = query.job ?? '';
    this.pod.value = query.pod ?? '';
    this.grep.value = query.grep ?? '';
    this.previous.checked = Boolean(query.previous);
    if (this.stream && this.text === text) return;
    this.leave();
    this.text = text;
    this.reset();
    this.setState('Reading…');
    const source = `${this.path}${text ? `?${text}` : ''}`;
    this.stream = new Stream(source, {
      trouble: (why) => {
        // It begins anew with the last lines.
        if (why === null) this.reset();
        else this.setState(/refuses/.test(why) ? 'Job and Pod are numbers, and the filter has to be a regular expression.' : why);
      },
      others: {
        logs: ({ open, known, refused }) => this.setState(refused ?? (known === 0
          ? 'No container of these Pods has run yet, or they are gone.'
          : `${count(known, 'log')}, ${open === 0 ? 'all of which have ended' : `${open} of which can still grow`}.`)),
        lines: (lines) => this.take(lines),
      },
    });
  }

  leave() {
    this.stream?.close();
    this.stream = null;
  }

  setState(text) {
    setText(this.status, text);
  }

  reset() {
    this.waiting = [];
    this.lines.replaceChildren();
    this.follow.checked = true;
  }

  take(lines) {
    this.waiting.push(...lines);
    if (this.waiting.length > LINES) this.waiting.splice(0, this.waiting.length - LINES);
    if (!this.frame) this.frame = requestAnimationFrame(() => this.flush());
  }

  flush() {
    this.frame = null;
    const lines = this.waiting;
    this.waiting = [];
    const made = document.createDocumentFragment();
    for (const line of lines) made.append(this.make(line));
    const over = this.lines.childElementCount + lines.length - LINES;
    if (over >= this.lines.childElementCount) this.lines.replaceChildren(made);
    else {
      for (let left = over; left > 0; left -= 1) this.lines.firstChild.remove();
      this.lines.append(made);
    }
    if (this.follow.checked) this.toEnd();
  }

  make(line) {
    if (line.error) return h('div', { class: 'line bad' }, h('span', { class: 'who' }, line.pod), h('span', { class: 'said' }, line.error));
    const who = `${line.role}-${line.jobIndex}-${line.podIndex}`;
    const color = Math.max(0, this.roles.indexOf(line.role)) % 6;
    return h('div', { class: 'line' },
      h('time', { datetime: line.time ?? '' }, line.time ? clock(line.time) : ''),
      h('span', { class: `who k${color}`, title: `${line.pod}, container ${line.container}, attempt ${line.attempt}` }, who),
      // What would colour a terminal is left out.
      h('span', { class: 'said' }, line.line.replace(/\u001b\[[0-9;?]*[ -\/]*[@-~]/g, '')));
  }

  toEnd() {
    if (this.follow.checked) {
      this.moved = true;
      this.lines.scrollTop = this.lines.scrollHeight;
    }
  }

  /** Who scrolls up wants to read, who scrolls to the end wants to follow. */
  scrolled() {
    if (this.moved) {
      this.moved = false;
      return;
    }
    this.follow.checked = this.lines.scrollTop + this.lines.clientHeight >= this.lines.scrollHeight - 4;
  }

  key(event) {
    switch (event.key) {
      case '/': this.grep.focus(); this.grep.select(); return true;
      case 'End': this.follow.checked = true; this.toEnd(); return true;
      case 'j': this.lines.scrollBy({ top: 60 }); return true;
      case 'k': this.lines.scrollBy({ top: -60 }); return true;
      case 'f': this.follow.checked = !this.follow.checked; this.toEnd(); return true;
      default: return false;
    }
  }

  focus() {
    this.lines.focus({ preventScroll: true });
  }
}
