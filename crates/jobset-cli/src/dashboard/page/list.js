// All JobSets in a table.

import { badge, count, h, setAge, setAttribute, setBadge, setText, show } from './dom.js';
import { Stream } from './stream.js';

/** Roles that are named in a row. */
const ROLES = 6;

export class List {
  constructor(page, about) {
    this.page = page;
    this.about = about;
    this.rows = new Map();
    this.filter = h('input', {
      type: 'search', class: 'filter', placeholder: 'Filter by name, state or role', 'aria-label': 'Filter',
      autocomplete: 'off', spellcheck: 'false', oninput: () => this.sift(),
    });
    this.counts = h('span', { class: 'faint', role: 'status' });
    this.body = h('tbody');
    const columns = ['Namespace', 'Name', 'State', 'Restarts', 'Ready', 'Queue', 'Age'];
    this.table = h('table', { class: 'list', hidden: true, 'data-namespaces': !about.namespace },
      h('thead', {}, h('tr', {}, columns.map((name) => h('th', { scope: 'col', class: `c-${name.toLowerCase()}` }, name)))),
      this.body);
    this.empty = h('div', { class: 'empty', hidden: true });
    this.element = h('div', { class: 'view' },
      h('div', { class: 'bar' }, h('h1', {}, 'JobSets'), this.counts, this.filter),
      this.table, this.empty);
    page.crumbs([]);
    page.command(`jobset list${about.namespace ? ` -n ${about.namespace}` : ' --all-namespaces'}${about.flags}`);
    document.title = 'JobSets';
    this.stream = new Stream('/api/list', {
      change: (changed, gone, parts) => this.draw(changed, gone, parts),
      trouble: (text) => page.trouble(text),
    });
  }

  close() {
    this.stream.close();
  }

  draw(changed, gone, parts) {
    if (changed.has('link')) this.page.link(parts.get('link'));
    for (const key of gone) {
      this.rows.get(key)?.row.remove();
      this.rows.delete(key);
    }
    let added = false;
    for (const key of changed) {
      if (!key.startsWith('set/')) continue;
      const set = parts.get(key);
      let row = this.rows.get(key);
      if (!row) {
        row = this.make(set);
        this.rows.set(key, row);
        added = true;
      }
      this.fill(row, set);
    }
    // What is hidden cannot be chosen.
    show(this.table, this.rows.size > 0);
    if (added) {
      // In the order of namespaces and names; a row that is where it belongs is not touched.
      const keys = [...this.rows.keys()].sort();
      let place = this.body.firstChild;
      for (const key of keys) {
        const { row } = this.rows.get(key);
        if (row === place) place = place.nextSibling;
        else this.body.insertBefore(row, place);
      }
      if (!this.body.contains(document.activeElement) && document.activeElement !== this.filter) this.select(0);
    }
    const queues = [...this.rows.values()].some((row) => row.hasQueue);
    this.table.toggleAttribute('data-queues', queues);
    this.sift();
    if (this.rows.size === 0 && parts.get('link')?.state === 'live') this.drawEmpty();
    show(this.empty, this.rows.size === 0 && this.empty.childElementCount > 0);
  }

  drawEmpty() {
    const place = this.about.namespace ? `in namespace ${this.about.namespace}` : 'on this cluster';
    this.empty.replaceChildren(
      h('p', {}, `There are no JobSets ${place}.`),
      h('p', { class: 'faint' }, 'A manifest to begin with: ', h('code', {}, 'jobset init torchrun > training.yaml'),
        ', then ', h('code', {}, 'kubectl apply --server-side -f training.yaml')));
  }

  make(set) {
    const cells = {
      namespace: h('td', { class: 'c-namespace faint' }),
      name: h('td', { class: 'c-name' }),
      state: h('td', { class: 'c-state' }),
      restarts: h('td', { class: 'c-restarts number' }),
      ready: h('td', { class: 'c-ready' }),
      queue: h('td', { class: 'c-queue' }),
      age: h('td', { class: 'c-age number' }),
    };
    const link = h('a', { href: `#/${set.namespace}/${set.name}` }, set.name);
    cells.name.append(link);
    cells.namespace.textContent = set.namespace;
    const state = badge(set.state);
    cells.state.append(state);
    const row = h('tr', { onclick: (event) => { if (event.target.tagName !== 'A') link.click(); } }, Object.values(cells));
    return { row, link, cells, state, roles: [] };
  }

  fill(row, set) {
    const { cells } = row;
    setBadge(row.state, set.state);
    setAttribute(row.state, 'title', [set.reason, set.message].filter(Boolean).join(': '));
    setText(cells.restarts, String(set.restarts));
    const roles = set.roles.slice(0, ROLES).map((role) => [role.name, role.ready + role.succeeded, role.replicas, role.failed]);
    const key = JSON.stringify([roles, set.roles.length]);
    if (row.ready !== key) {
      row.ready = key;
      const chips = roles.map(([name, up, all, failed]) =>
        h('span', { class: 'chip', 'data-whole': up >= all, 'data-bad': failed > 0 },
          `${name} `, h('b', {}, `${up}/${all}`), failed > 0 ? ` ${failed} failed` : null));
      const more = set.roles.length - roles.length;
      if (more > 0) chips.push(h('span', { class: 'chip' }, `… ${more} more`));
      cells.ready.replaceChildren(...chips);
    }
    row.hasQueue = Boolean(set.queue);
    setText(cells.queue, set.queue ? set.queue.queue + (set.queue.state ? ` (${set.queue.state})` : '') : '');
    setAge(cells.age, set.created);
    row.words = [set.namespace, set.name, set.state, ...set.roles.map((role) => role.name)].join(' ').toLowerCase();
    row.stateWord = set.state;
  }

  sift() {
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const states = new Map();
    let shown = 0;
    for (const row of this.rows.values()) {
      const fits = words.every((word) => row.words.includes(word));
      show(row.row, fits);
      if (fits) shown += 1;
      states.set(row.stateWord, (states.get(row.stateWord) ?? 0) + 1);
    }
    const total = this.rows.size;
    const summary = [...states].sort().map(([state, number]) => `${number} ${state.toLowerCase()}`).join(', ');
    setText(this.counts, total === 0 ? '' : words.length > 0 ? `${shown} of ${total}` : summary);
  }

  visible() {
    return [...this.body.children].filter((row) => !row.hidden);
  }

  select(place) {
    const rows = this.visible();
    const row = rows[Math.min(Math.max(place, 0), rows.length - 1)];
    row?.querySelector('a').focus();
    row?.scrollIntoView({ block: 'nearest' });
  }

  key(event) {
    const at = this.visible().findIndex((row) => row.contains(document.activeElement));
    switch (event.key) {
      case 'j': case 'ArrowDown': this.select(at + 1); return true;
      case 'k': case 'ArrowUp': this.select(at < 0 ? 0 : at - 1); return true;
      case 'Home': this.select(0); return true;
      case 'End': this.select(Infinity); return true;
      case '/': this.filter.focus(); this.filter.select(); return true;
      case 'Escape':
        this.filter.value = '';
        this.sift();
        this.select(Math.max(at, 0));
        return true;
      case 'Enter':
        if (document.activeElement === this.filter) { this.select(0); return true; }
        return false;
      default: return false;
    }
  }

  focus() {
    this.select(0);
  }
}
