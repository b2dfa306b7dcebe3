// The picture that `jobset timeline` draws, brought up to date while it is looked at.

import { h, show } from './dom.js';

const SVG = 'http://www.w3.org/2000/svg';
const ELEMENTS = new Set(['svg', 'g', 'rect', 'line', 'text', 'tspan', 'title', 'path']);
const ATTRIBUTES = new Set(['class', 'x', 'y', 'x1', 'y1', 'x2', 'y2', 'dx', 'dy', 'width', 'height', 'rx', 'd',
  'viewBox', 'role', 'aria-label', 'text-anchor']);
/** Pauses between two pictures when something has changed, and when only time has gone on. */
const SHORT = 3000;
const LONG = 10000;

export class Timeline {
  constructor(path) {
    this.path = `${path}/timeline.svg`;
    this.picture = h('div', { class: 'picture' });
    this.note = h('p', { class: 'faint' }, 'Drawing…');
    this.element = h('div', { tabindex: '-1' }, this.note, this.picture);
    this.shown = false;
    this.last = -Infinity;
  }

  draw(changed, gone, parts) {
    this.finished = Boolean(parts.get('set')?.finished);
    const concerns = (key) => key === 'set' || key.startsWith('job/') || key.startsWith('event/');
    if ([...changed].some(concerns) || gone.size > 0) this.want(SHORT);
  }

  enter() {
    this.shown = true;
    this.want(0);
  }

  leave() {
    this.shown = false;
    clearTimeout(this.timer);
    this.timer = null;
  }

  /** Fetches a picture when the last one is this old. */
  want(pause) {
    if (!this.shown || this.loading) {
      this.again = true;
      return;
    }
    const due = Math.max(0, this.last + pause - performance.now());
    if (this.timer && this.due <= performance.now() + due) return;
    clearTimeout(this.timer);
    this.due = performance.now() + due;
    this.timer = setTimeout(() => this.load(), due);
  }

  load() {
    this.timer = null;
    if (!this.shown || document.hidden) {
      this.timer = this.shown ? setTimeout(() => this.load(), SHORT) : null;
      return;
    }
    this.loading = true;
    this.again = false;
    const request = new XMLHttpRequest();
    request.open('GET', this.path);
    request.responseType = 'document';
    request.overrideMimeType('image/svg+xml');
    request.onloadend = () => {
      this.loading = false;
      this.last = performance.now();
      const root = request.status === 200 ? request.responseXML?.documentElement : null;
      if (root) this.picture.replaceChildren(copy(root));
      this.note.textContent = root ? '' : 'The timeline cannot be drawn now.';
      show(this.note, !root);
      if (this.again) this.want(SHORT);
      else if (!this.finished) this.want(LONG);
    };
    request.send();
  }

  key() {
    return false;
  }

  focus() {
    this.element.focus({ preventScroll: true });
  }
}

/** Only what a picture is made of. */
function copy(from) {
  const to = document.createElementNS(SVG, from.localName);
  for (const { name, value } of from.attributes) {
    if (ATTRIBUTES.has(name)) to.setAttribute(name, value);
  }
  for (const child of from.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) to.append(child.data);
    else if (child.nodeType === Node.ELEMENT_NODE && child.namespaceURI === SVG && ELEMENTS.has(child.localName)) to.append(copy(child));
  }
  return to;
}
