// One JobSet: how it is and why, its Jobs, timeline, events and logs.

import { badge, count, h, quoted, setAge, setAttribute, setBadge, setText, show } from './dom.js';
import { Events } from './events.js';
import { Grid } from './grid.js';
import { Logs } from './logs.js';
import { Stream } from './stream.js';
import { Timeline } from './timeline.js';

const TABS = [['jobs', 'Jobs'], ['timeline', 'Timeline'], ['events', 'Events'], ['logs', 'Logs']];

export class Detail {
  constructor(page, about, { namespace, name }) {
    Object.assign(this, { page, about, namespace, name });
    this.base = `#/${namespace}/${name}`;
    const path = `/api/jobset/${namespace}/${name}`;
    this.panels = {
      jobs: new Grid({ logs: (job, pod) => this.logsLink(job, pod) }),
      timeline: new Timeline(path),
      events: new Events(),
      logs: new Logs(path, (query) => { this.page.go(this.hash('logs', query)); }),
    };
    this.badge = badge('Pending');
    this.reason = h('p', { class: 'reason' });
    this.facts = h('p', { class: 'faint facts' });
    this.why = h('section', { class: 'why', hidden: true, 'aria-label': 'Why it is so' });
    this.tabs = new Map(TABS.map(([id, title], place) => [id, h('a', { role: 'tab', id: `tab-${id}`, 'aria-controls': `panel-${id}`, href: this.hash(id) },
      title, h('kbd', { 'aria-hidden': 'true' }, String(place + 1)))]));
    this.bodies = new Map(TABS.map(([id]) => [id, h('div', { role: 'tabpanel', id: `panel-${id}`, 'aria-labelledby': `tab-${id}`, hidden: true }, this.panels[id].element)]));
    this.content = h('div', { class: 'content' },
      h('div', { class: 'head' }, h('h1', {}, name), this.badge), this.reason, this.facts, this.why,
      h('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Parts of this JobSet' }, [...this.tabs.values()]),
      [...this.bodies.values()]);
    this.missing = h('div', { class: 'empty', hidden: true });
    this.element = h('div', { class: 'view' }, this.content, this.missing);
    show(this.content, false);
    page.crumbs([namespace, name]);
    document.title = `${name}: JobSet`;
    this.stream = new Stream(path, {
      change: (changed, gone, parts) => this.draw(changed, gone, parts),
      trouble: (text) => page.trouble(text),
    });
  }

  hash(tab, query = {}) {
    const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== '' && value !== undefined)).toString();
    return `${this.base}${tab === 'jobs' ? '' : `/${tab}`}${text ? `?${text}` : ''}`;
  }

  logsLink(job, pod) {
    const index = pod?.name.match(/-(\d+)-[a-z0-9]{5}$/)?.[1];
    return this.hash('logs', { role: job.role, job: job.index ?? '', pod: index, previous: pod && /^(Gone|Terminating)$/.test(job.state) ? '1' : '' });
  }

  /** Shows a part. */
  enter(tab, query) {
    if (!this.panels[tab]) tab = 'jobs';
    const same = this.tab === tab;
    if (this.tab && !same) this.panels[this.tab].leave?.();
    this.tab = tab;
    this.query = query;
    for (const [id, element] of this.tabs) {
      setAttribute(element, 'aria-selected', String(id === tab));
      setAttribute(element, 'tabindex', id === tab ? '0' : '-1');
      show(this.bodies.get(id), id === tab);
    }
    this.panels[tab].enter?.(query);
    if (tab === 'jobs' && query.role) this.panels.jobs.chooseJob(query.role, Number(query.job));
    const option = (name, value) => (value ? ` --${name} ${quoted(value)}` : '');
    const commands = {
      jobs: 'explain', timeline: 'timeline', events: 'events', logs: 'logs',
    };
    const where = ` ${this.name} -n ${this.namespace}${this.about.flags}`;
    const chosen = option('role', query.role) + option('job', query.job) + option('pod', query.pod) + option('container', query.container)
      + option('grep', query.grep) + (query.previous ? ' --previous-attempts' : '') + ' --follow';
    this.page.command(`jobset ${commands[tab]}${where}${tab === 'logs' ? chosen : ''}`);
    // Who changes what is shown goes on where they are.
    if (!this.content.hidden && !(same && this.element.contains(document.activeElement))) this.focus();
  }

  close() {
    this.panels[this.tab]?.leave?.();
    this.stream.close();
  }

  draw(changed, gone, parts) {
    if (changed.has('link')) this.drawLink(parts.get('link'), parts);
    const first = this.content.hidden && parts.has('set');
    if (first) show(this.content, true);
    if (changed.has('set')) this.drawHead(parts.get('set'));
    if (changed.has('why') || changed.has('set')) this.drawWhy(parts.get('why'), parts.get('set'));
    for (const panel of Object.values(this.panels)) panel.draw(changed, gone, parts);
    if (first) {
      if (this.tab === 'jobs' && this.query?.role) this.panels.jobs.chooseJob(this.query.role, Number(this.query.job));
      this.focus();
    }
  }

  drawLink(link, parts) {
    this.page.link(link);
    this.content.classList.toggle('stale', link.state !== 'live');
    const missing = link.state === 'gone' && !parts.has('set');
    show(this.missing, missing);
    if (missing) {
      this.missing.replaceChildren(h('p', {}, `There is no JobSet ${this.name} in namespace ${this.namespace}.`),
        h('p', { class: 'faint' }, 'It is shown here as soon as it is created. ', h('a', { href: '#/' }, 'All JobSets')));
    }
  }

  drawHead(set) {
    setBadge(this.badge, set.state);
    setText(this.reason, [set.reason, set.message].filter(Boolean).join(': '));
    show(this.reason, this.reason.textContent !== '');
    const age = (time) => { const element = h('span'); setAge(element, time); return element; };
    const most = set.maxRestarts === undefined ? '' : set.restarts === set.countedRestarts
      ? ` of at most ${set.maxRestarts}` : ` (${set.countedRestarts} counted of at most ${set.maxRestarts})`;
    const restarts = count(set.restarts, 'restart') + most;
    const facts = [['created ', age(set.created), ' ago'], set.finished && ['finished ', age(set.finished), ' ago'], [restarts],
      set.managedBy && [`managed by ${set.managedBy}`],
      set.queue && [`queue ${set.queue.queue}${set.queue.state ? ` (${set.queue.state})` : ''}${set.queue.message ? `: ${set.queue.message}` : ''}`]];
    const text = JSON.stringify([set.created, set.finished, restarts, set.managedBy, set.queue]);
    if (this.told === text) return;
    this.told = text;
    this.facts.replaceChildren(...facts.filter(Boolean).flatMap((fact, place) => (place > 0 ? [' · ', ...fact] : fact)));
  }

  drawWhy(why, set) {
    if (!why || !set) return;
    const parts = [];
    const failure = (one) => `${one.container ? `container ${one.container} of ` : ''}Pod ${one.pod}${one.node ? ` on node ${one.node}` : ''} ended with ${one.ending}`;
    if (why.first) {
      const one = why.first;
      const logs = this.logsLink({ role: one.role, index: one.job.match(/-(\d+)$/)?.[1] ?? '', state: '' }, { name: one.pod });
      parts.push(h('h2', {}, set.state === 'Failed' ? 'Why it failed' : 'What failed first'),
        h('p', {}, 'Job ', h('b', {}, one.job), ` failed first, in attempt ${one.attempt}: ${failure(one)}. `, h('a', { href: logs }, 'Its log')));
      if (one.lastLines?.length > 0) parts.push(h('p', { class: 'faint' }, 'The last lines of its log:'), h('pre', { tabindex: '0' }, one.lastLines.join('\n')));
      else if (one.noLog) parts.push(h('p', { class: 'faint' }, `Its log is not to be had: ${one.noLog}`));
    } else if (set.state === 'Failed') {
      parts.push(h('h2', {}, 'Why it failed'), h('p', {}, set.message || set.reason || 'The JobSet does not say why.'),
        h('p', { class: 'faint' }, 'Nothing is left of the Pods that failed. The events may tell more.'));
    }
    if (why.others.length > 0) {
      const items = why.others.map((one) => h('li', {}, `attempt ${one.attempt}: ${failure(one)}`));
      if (why.moreOthers > 0) items.push(h('li', { class: 'faint' }, `… and ${why.moreOthers} more`));
      parts.push(h('details', {}, h('summary', {}, count(why.others.length + why.moreOthers, 'other failure')), h('ul', {}, items)));
    }
    if (why.waiting.length > 0 && !set.finished) {
      parts.push(h('h2', {}, 'What it waits for'), h('ul', {}, why.waiting.map((one) =>
        h('li', {}, `${count(one.pods, 'Pod')}${one.pods === 1 ? ` (${one.first})` : ''}: ${one.reason}`))));
    }
    if (why.decisions.length > 0) {
      parts.push(h('details', {}, h('summary', {}, 'What the failure policy decided'), h('ul', {}, why.decisions.map((one) => h('li', {}, one)))));
    }
    for (const note of why.notes) parts.push(h('p', { class: 'faint' }, note));
    const open = [...this.why.querySelectorAll('details')].map((one) => one.open);
    this.why.replaceChildren(...parts);
    [...this.why.querySelectorAll('details')].forEach((one, place) => { one.open = open[place] ?? false; });
    setAttribute(this.why, 'data-bad', String(set.state === 'Failed'));
    show(this.why, parts.length > 0);
  }

  go(tab) {
    const query = tab === 'logs' && this.tab !== 'logs' ? this.chosen() : {};
    this.page.go(this.hash(tab, query));
  }

  chosen() {
    const cell = this.panels.jobs.chosen;
    return cell ? { role: cell.role_.name, job: String(cell.index_) } : {};
  }

  key(event) {
    const place = '1234'.indexOf(event.key);
    if (place >= 0) {
      this.page.go(this.hash(TABS[place][0]));
      return true;
    }
    if (document.activeElement?.getAttribute('role') === 'tab' && ['ArrowLeft', 'ArrowRight'].includes(event.key)) {
      const at = TABS.findIndex(([id]) => id === this.tab) + (event.key === 'ArrowLeft' ? TABS.length - 1 : 1);
      const [id] = TABS[at % TABS.length];
      this.page.go(this.hash(id));
      return true;
    }
    if (this.panels[this.tab]?.key(event)) return true;
    switch (event.key) {
      case 'l': this.go('logs'); return true;
      case '/': this.page.go(this.hash('events')); return true;
      case 'Escape': this.page.go(this.tab === 'jobs' ? '#/' : this.hash('jobs', this.tab === 'logs' && this.query.role && this.query.job ? { role: this.query.role, job: this.query.job } : {})); return true;
      default: return false;
    }
  }

  focus() {
    this.panels[this.tab]?.focus();
  }
}
