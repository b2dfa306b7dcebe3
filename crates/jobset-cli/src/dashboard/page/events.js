// The events of a JobSet, newest first.

import { h, setAge, setText, show } from './dom.js';

export class Events {
  constructor() {
    this.rows = new Map();
    this.filter = h('input', {
      type: 'search', class: 'filter', placeholder: 'Filter events', 'aria-label': 'Filter events', autocomplete: 'off',
      spellcheck: 'false', oninput: () => this.sift(),
    });
    this.warnings = h('input', { type: 'checkbox', onchange: () => this.sift() });
    this.counts = h('span', { class: 'faint', role: 'status' });
    this.body = h('tbody');
    this.element = h('div', { tabindex: '-1' },
      h('div', { class: 'bar' }, this.filter, h('label', {}, this.warnings, ' Only warnings'), this.counts),
      h('table', { class: 'events' },
        h('thead', {}, h('tr', {}, ['Last seen', 'Type', 'Reason', 'Object', 'Message'].map((name) => h('th', { scope: 'col' }, name)))),
        this.body));
  }

  draw(changed, gone, parts) {
    for (const key of gone) {
      this.rows.get(key)?.row.remove();
      this.rows.delete(key);
    }
    const added = [];
    for (const key of changed) {
      if (!key.startsWith('event/')) continue;
      const event = parts.get(key);
      let row = this.rows.get(key);
      if (!row) {
        row = this.make(event);
        this.rows.set(key, row);
        added.push(key);
      }
      setAge(row.age, event.last);
      setText(row.message, event.count > 1 ? `${event.note} (${event.count} times)` : event.note);
    }
    if (added.length > 0) {
      // Keys begin with the time.
      const order = (a, b) => (a.split('/', 2)[1] - b.split('/', 2)[1]) || (a < b ? -1 : 1);
      const keys = [...this.rows.keys()].sort(order).reverse();
      let place = this.body.firstChild;
      for (const key of keys) {
        const { row } = this.rows.get(key);
        if (row === place) place = place.nextSibling;
        else this.body.insertBefore(row, place);
      }
    }
    if (added.length > 0 || gone.size > 0) this.sift();
  }

  make(event) {
    const age = h('td', { class: 'number' });
    const message = h('td', { class: 'message' });
    const warning = event.type === 'Warning';
    const row = h('tr', { class: warning ? 'warning' : '' },
      age, h('td', {}, warning ? '⚠ Warning' : event.type), h('td', { class: 'reason' }, event.reason),
      h('td', { class: 'object' }, `${event.kind} ${event.name}`), message);
    const words = [event.type, event.reason, event.kind, event.name, event.note].join(' ').toLowerCase();
    return { row, age, message, words, warning };
  }

  sift() {
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of this.rows.values()) {
      const fits = words.every((word) => row.words.includes(word)) && (row.warning || !this.warnings.checked);
      show(row.row, fits);
      if (fits) shown += 1;
    }
    const total = this.rows.size;
    const text = total === 0
      ? 'There are none: a cluster forgets events after an hour, unless it is told otherwise.'
      : `${shown === total ? total : `${shown} of ${total}`}${total === 200 ? ' (the newest)' : ''}`;
    setText(this.counts, text);
  }

  key(event) {
    if (event.key === '/') { this.filter.focus(); this.filter.select(); return true; }
    return false;
  }

  focus() {
    this.element.focus({ preventScroll: true });
  }
}
