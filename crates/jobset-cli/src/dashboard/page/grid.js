// The Jobs of a JobSet as cells, and the Pods of the chosen one.

import { count, GLYPHS, h, setAge, setAttribute, setText, show } from './dom.js';

const LEGEND = {
  none: 'not there', pending: 'pending', suspended: 'suspended', starting: 'starting', ready: 'ready',
  succeeded: 'succeeded', failed: 'failed', deleting: 'being deleted',
};

export class Grid {
  constructor(open) {
    this.open = open;
    this.roles = new Map();
    /** Keys of Jobs with their cells. */
    this.cells = new Map();
    this.chosen = null;
    this.list = h('div', { class: 'roles' });
    this.panel = h('aside', { class: 'panel', 'aria-label': 'The chosen Job', 'aria-live': 'polite' });
    this.legend = h('div', { class: 'tl legend', 'aria-label': 'Legend' },
      Object.entries(LEGEND).map(([phase, word]) =>
        h('span', {}, h('i', { class: 'cell', 'data-p': phase, 'data-g': GLYPHS[phase], 'aria-hidden': 'true' }), word)));
    this.element = h('div', { class: 'jobs' }, h('div', {}, this.list, this.legend), this.panel);
    this.list.addEventListener('click', (event) => {
      const cell = event.target.closest('.cell');
      if (cell) this.choose(cell, true);
    });
    this.drawPanel();
  }

  draw(changed, gone, parts) {
    this.parts = parts;
    if (changed.has('set')) this.drawRoles(parts.get('set').roles);
    let panel = false;
    for (const key of gone) {
      const cell = this.cells.get(key);
      if (!cell) continue;
      this.cells.delete(key);
      this.blank(cell);
      panel ||= cell === this.chosen;
    }
    for (const key of changed) {
      if (!key.startsWith('job/')) continue;
      const cell = this.place(key, parts.get(key));
      panel ||= cell === this.chosen;
    }
    if (panel) this.drawPanel();
    if (!this.current) this.rove(this.list.querySelector('.cell'));
  }

  drawRoles(roles) {
    const names = roles.map((role) => role.name);
    for (const [name, role] of this.roles) {
      if (!names.includes(name)) {
        role.element.remove();
        this.roles.delete(name);
      }
    }
    for (const view of roles) {
      const role = this.role(view.name);
      for (let index = role.cells.size; index < view.replicas; index += 1) this.cell(role, index);
      const parts = [
        view.succeeded < view.replicas && `${view.ready.toLocaleString('en')} of ${count(view.replicas, 'Job')} ready`,
        view.succeeded > 0 && `${view.succeeded} succeeded`,
        view.failed > 0 && `${view.failed} failed`,
        view.suspended > 0 && `${view.suspended} suspended`,
        view.terminating > 0 && `${view.terminating} being deleted`,
        view.after?.length > 0 && `starts after ${view.after.join(', ')}`,
      ];
      setText(role.counts, parts.filter(Boolean).join(' · '));
    }
  }

  role(name) {
    let role = this.roles.get(name);
    if (!role) {
      const counts = h('span', { class: 'faint' });
      const grid = h('div', { class: 'tl cells', role: 'group', 'aria-label': `Jobs of ${name || 'no role'}` });
      const element = h('section', { class: 'row' }, h('div', { class: 'row-head' }, h('h3', {}, name || 'without a role'), counts), grid);
      role = { name, counts, grid, element, cells: new Map() };
      this.roles.set(name, role);
      this.list.append(element);
    }
    return role;
  }

  cell(role, index) {
    let cell = role.cells.get(index);
    if (!cell) {
      cell = h('button', { type: 'button', class: 'cell', tabindex: '-1' });
      cell.role_ = role;
      cell.index_ = index;
      this.blank(cell);
      role.cells.set(index, cell);
      role.grid.append(cell);
      if (role.cells.size === 201) role.grid.classList.add('many');
    }
    return cell;
  }

  blank(cell) {
    cell.key_ = null;
    setAttribute(cell, 'data-p', 'none');
    setAttribute(cell, 'data-g', '');
    setAttribute(cell, 'aria-label', `${cell.role_.name}-${cell.index_}: not there`);
    setAttribute(cell, 'title', `${cell.role_.name}-${cell.index_}: not there`);
  }

  place(key, job) {
    const cell = this.cell(this.role(job.role), job.index ?? job.name);
    this.cells.set(key, cell);
    cell.key_ = key;
    const restarts = job.pods.reduce((sum, pod) => sum + pod.restarts, 0);
    const label = `${job.role}-${job.index ?? job.name}: ${job.state}${job.reason ? ` (${job.reason})` : ''}`
      + (restarts > 0 ? `, ${count(restarts, 'restart')} of containers` : '');
    setAttribute(cell, 'data-p', job.phase);
    setAttribute(cell, 'data-g', GLYPHS[job.phase] ?? '');
    setAttribute(cell, 'aria-label', label);
    setAttribute(cell, 'title', label);
    return cell;
  }

  /** The one cell that Tab leads to. */
  rove(cell) {
    if (!cell || cell === this.current) return;
    this.current?.setAttribute('tabindex', '-1');
    cell.setAttribute('tabindex', '0');
    this.current = cell;
  }

  choose(cell, entered = false) {
    const again = cell === this.chosen;
    this.rove(cell);
    if (!again) {
      this.chosen?.removeAttribute('aria-pressed');
      cell.setAttribute('aria-pressed', 'true');
      this.chosen = cell;
      this.drawPanel();
    } else if (entered) {
      this.panel.querySelector('a')?.focus();
    }
    if (entered && matchMedia('(max-width: 899px)').matches) this.panel.scrollIntoView({ block: 'nearest' });
  }

  chooseJob(role, index) {
    const cell = this.roles.get(role)?.cells.get(index);
    if (cell) this.choose(cell);
    return cell;
  }

  drawPanel() {
    const job = this.chosen?.key_ && this.parts?.get(this.chosen.key_);
    if (!job) {
      const name = this.chosen ? `${this.chosen.role_.name}-${this.chosen.index_} is not there.` : '';
      this.panel.replaceChildren(h('p', { class: 'faint hint' }, name || 'Choose a Job to see its Pods: click, or arrow keys and Enter.'));
      return;
    }
    const focused = this.panel.contains(document.activeElement) ? document.activeElement.getAttribute('href') : null;
    const facts = [`attempt ${job.attempt}`, job.ownAttempt > 0 && `restarted by itself ${job.ownAttempt} times`];
    const since = job.terminatingSince && h('span');
    if (since) setAge(since, job.terminatingSince);
    const why = [job.reason, job.message].filter(Boolean).join(': ');
    this.panel.replaceChildren(
      h('h3', {}, job.name),
      h('p', {}, h('span', { class: 'tl badge', 'data-p': job.phase }, h('i', { 'data-g': GLYPHS[job.phase] ?? '', 'aria-hidden': 'true' }), h('b', {}, job.state)),
        h('span', { class: 'faint' }, ` ${facts.filter(Boolean).join(', ')}`),
        since && h('span', { class: 'faint' }, ', being deleted for ', since)),
      why ? h('p', {}, why) : '',
      h('p', {}, h('a', { href: this.open.logs(job), class: 'plain' }, 'Logs of this Job'), ' ', h('kbd', { 'aria-hidden': 'true' }, 'l')),
      job.pods.length === 0
        ? h('p', { class: 'faint' }, 'It has no Pods.')
        : h('ul', { class: 'pods' }, job.pods.map((pod) => h('li', {},
          h('a', { href: this.open.logs(job, pod), title: `Logs of ${pod.name}` }, pod.name),
          h('div', { class: 'pod-facts' }, h('b', { class: /Error|Failed|BackOff|Kill|Evict/.test(pod.state) ? 'bad' : '' }, pod.state),
            ` · ${pod.ready} ready · ${count(pod.restarts, 'restart')}${pod.node ? ` · ${pod.node}` : ' · no node'}`),
          pod.reason ? h('div', { class: 'faint' }, pod.reason) : ''))));
    if (focused) [...this.panel.querySelectorAll('a')].find((link) => link.getAttribute('href') === focused)?.focus();
  }

  /** All cells, in the order of the page. */
  all() {
    return [...this.roles.values()].flatMap((role) => [...role.grid.children]);
  }

  go(cell) {
    if (!cell) return;
    this.rove(cell);
    cell.focus();
    cell.scrollIntoView({ block: 'nearest' });
  }

  step(by) {
    const cells = this.all();
    const at = cells.indexOf(this.current);
    this.go(cells[Math.min(Math.max(at + by, 0), cells.length - 1)]);
  }

  /** To the cell above or below: in the next line, what is nearest. */
  line(by) {
    const cells = this.all();
    const from = this.current;
    if (!from) return;
    const [top, left] = [from.getBoundingClientRect().top, from.offsetLeft];
    const at = cells.indexOf(from);
    let line = null;
    let best = null;
    for (let place = at + by; place >= 0 && place < cells.length; place += by) {
      const cell = cells[place];
      const y = cell.getBoundingClientRect().top;
      if (Math.abs(y - top) < 1) continue;
      line ??= y;
      if (Math.abs(y - line) >= 1) break;
      if (!best || Math.abs(cell.offsetLeft - left) < Math.abs(best.offsetLeft - left)) best = cell;
    }
    this.go(best);
  }

  nextFailed() {
    const cells = this.all();
    const at = cells.indexOf(this.current);
    const turned = [...cells.slice(at + 1), ...cells.slice(0, at + 1)];
    const failed = turned.find((cell) => cell.dataset.p === 'failed');
    if (failed) {
      this.go(failed);
      this.choose(failed);
    }
  }

  key(event) {
    const inPanel = this.panel.contains(document.activeElement);
    switch (event.key) {
      case 'ArrowRight': this.step(1); return true;
      case 'ArrowLeft': this.step(-1); return true;
      case 'j': case 'ArrowDown': this.line(1); return true;
      case 'k': case 'ArrowUp': this.line(-1); return true;
      case 'Home': this.step(-Infinity); return true;
      case 'End': this.step(Infinity); return true;
      case 'f': this.nextFailed(); return true;
      case 'Escape':
        if (inPanel) { this.go(this.current); return true; }
        return false;
      default: return false;
    }
  }

  focus() {
    this.go(this.current ?? this.list.querySelector('.cell'));
  }
}
