// The page: which view is shown, and what the keys do.

import { Detail } from './detail.js';
import { h, setText, show, tickAll } from './dom.js';
import { List } from './list.js';

const byId = (id) => document.getElementById(id);
const main = byId('main');
const help = byId('help');

/** What views may do to the frame around them. */
const page = {
  crumbs(names) {
    const [namespace, name] = names;
    byId('crumbs').replaceChildren(
      name ? h('a', { href: '#/' }, 'JobSets') : h('b', { 'aria-current': 'page' }, 'JobSets'),
      ...(name ? [h('span', { class: 'faint' }, ` / ${namespace} / `), h('b', { 'aria-current': 'page' }, name)] : []));
  },
  /** To another address, at once: the next key belongs to what is shown there. */
  go(hash) {
    location.hash = hash;
    route();
  },
  command(text) {
    setText(byId('command'), text);
  },
  /** How things stand with the cluster. */
  link(link) {
    state.link = link;
    drawLink();
  },
  /** How things stand with the dashboard itself. */
  trouble(text) {
    state.trouble = text;
    drawLink();
  },
};

const state = { link: null, trouble: null };

function drawLink() {
  const { link, trouble } = state;
  const text = trouble
    ?? (link?.state === 'lost' ? `The cluster does not answer; what is shown may be old. It is being tried again. (${link.message})`
      : link?.state === 'gone' ? `What is shown is gone: ${link.message}` : '');
  const word = trouble ? 'disconnected' : { live: 'live', lost: 'no cluster', gone: 'gone' }[link?.state] ?? 'connecting';
  setText(byId('link'), word);
  byId('link').dataset.state = word;
  setText(byId('banner'), text);
  show(byId('banner'), text !== '');
}

let about = null;
let view = null;
let shown = '';

/** The view of an address: `#/`, or `#/namespace/name/part?query`. */
function route() {
  if (!about) return;
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?', 2);
  const [namespace, name, part = 'jobs'] = path.split('/').map(decode);
  const wanted = namespace && name ? `${namespace}/${name}` : '';
  if (!view || wanted !== shown) {
    view?.close();
    page.link(null);
    page.trouble(null);
    shown = wanted;
    view = wanted ? new Detail(page, about, { namespace, name }) : new List(page, about);
    main.replaceChildren(view.element);
    window.scrollTo(0, 0);
  }
  view.enter?.(part, Object.fromEntries(new URLSearchParams(query)));
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (help.open) {
    if (event.key === '?') { help.close(); event.preventDefault(); }
    return;
  }
  const field = event.target.closest?.('input:not([type=checkbox]), select, textarea');
  if (field) {
    if (event.key === 'Escape' || (event.key === 'Enter' && field.type === 'search')) {
      if (event.key === 'Escape' && field.type === 'search' && field.value !== '') {
        field.value = '';
        field.dispatchEvent(new Event('input'));
        field.dispatchEvent(new Event('change'));
      } else if (event.key === 'Enter') field.dispatchEvent(new Event('change'));
      field.blur();
      view?.focus();
      event.preventDefault();
    }
    return;
  }
  if (event.key === '?') {
    help.showModal();
    event.preventDefault();
  } else if (view?.key(event)) event.preventDefault();
}

async function start() {
  // The token is in the cookie now; in the address it would get into histories and screenshots.
  if (location.search) history.replaceState(null, '', location.pathname + location.hash);
  byId('keys').addEventListener('click', () => help.showModal());
  document.addEventListener('keydown', key);
  window.addEventListener('hashchange', route);
  setInterval(tickAll, 1000);
  drawLink();
  while (!about) {
    try {
      const answer = await fetch('/api/about');
      if (answer.ok) about = await answer.json();
      else page.trouble(answer.status === 401 ? 'Open the address that the dashboard has printed.' : 'The dashboard does not answer.');
    } catch {
      page.trouble('The dashboard does not answer. It is being tried again.');
    }
    if (!about) await new Promise((resume) => setTimeout(resume, 2000));
  }
  page.trouble(null);
  route();
}

start();
