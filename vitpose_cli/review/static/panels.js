// The panels beside the picture, and the colours of all.

import {$} from './elements.js';
import {toast} from './notices.js';
import {store} from './store.js';

/** Go to a panel beside the picture, or back to the picture. A drawer is open while it has focus. */
export function goToPanel(panel, inside = panel) {
  if (panel.contains(document.activeElement)) $('overlay').focus();
  else inside.focus();
}

/** In a small window, go back to the picture that the panel covers; return whether it does. */
export function leaveDrawer() {
  const panel = document.activeElement.closest('aside');
  const covers = panel !== null && getComputedStyle(panel).position === 'absolute';
  if (covers) $('overlay').focus();
  return covers;
}

export function toggleFilter() {
  $('filters').hidden = !$('filters').hidden;
  $('filter-toggle').setAttribute('aria-expanded', !$('filters').hidden);
  if ($('filters').hidden) $('frames').focus();
  else $('filters').querySelector('input').focus();
}

export function setTheme(theme) {
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

export function nextTheme() {
  const themes = ['auto', 'light', 'dark'];
  const theme = themes[(themes.indexOf(store.get('vitpose-review theme') ?? 'auto') + 1) % 3];
  store.set('vitpose-review theme', theme);
  setTheme(theme);
  toast({auto: 'Colours as the system has them', light: 'Light', dark: 'Dark'}[theme]);
}
