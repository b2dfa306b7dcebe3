// Elements and words. Text from the cluster gets into the page as text only: there is no function here
// that takes markup.

export const GLYPHS = {
  pending: '·', suspended: '‖', starting: '↑', active: '~', ready: '', succeeded: '=',
  failed: '×', deleting: '–', none: '',
};

const PHASES = {
  Pending: 'pending', Suspended: 'suspended', Starting: 'starting', Running: 'ready',
  Restarting: 'starting', Completed: 'succeeded', Failed: 'failed', Terminating: 'deleting',
};

/** An element with properties and children; a child that is not a node becomes text. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Sets a text if it is another one. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets an attribute if it is another one. */
export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

/** `1 Job`, `2 Jobs`. */
export function count(number, noun) {
  return `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`;
}

/** A state in one word, with a sign beside its colour. */
export function badge(state) {
  const element = h('span', { class: 'tl badge' }, h('i', { 'aria-hidden': 'true' }), h('b'));
  setBadge(element, state);
  return element;
}

export function setBadge(element, state) {
  const phase = PHASES[state] ?? 'pending';
  setAttribute(element, 'data-p', phase);
  setAttribute(element.firstChild, 'data-g', GLYPHS[phase]);
  setText(element.lastChild, state);
}

/** How long something takes, as kubectl writes it. */
export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const [minutes, hours, days] = [Math.floor(s / 60), Math.floor(s / 3600), Math.floor(s / 86400)];
  const and = (rest, unit) => (rest > 0 ? `${rest}${unit}` : '');
  if (s < 120) return `${s}s`;
  if (minutes < 10) return `${minutes}m${and(s % 60, 's')}`;
  if (hours < 3) return `${minutes}m`;
  if (hours < 8) return `${hours}h${and(minutes % 60, 'm')}`;
  if (days < 2) return `${hours}h`;
  if (days < 8) return `${days}d${and(hours % 24, 'h')}`;
  return `${days}d`;
}

/** A text that says how long ago a time was, and goes on saying so. */
export function setAge(element, time) {
  setAttribute(element, 'data-since', time ?? '');
  setAttribute(element, 'title', time ?? '');
  tick(element, Date.now());
}

function tick(element, now) {
  const since = Date.parse(element.dataset.since);
  setText(element, Number.isNaN(since) ? '' : duration((now - since) / 1000));
}

/** Brings all ages in the page up to date. */
export function tickAll() {
  const now = Date.now();
  for (const element of document.querySelectorAll('[data-since]')) tick(element, now);
}

/** A time of day, with the digits that there are. */
export function clock(time) {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? '' : date.toTimeString().slice(0, 8);
}

/** A word as a shell reads it. */
export function quoted(word) {
  return /^[A-Za-z0-9\/._+:@%-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
