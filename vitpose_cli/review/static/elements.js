// What the page is made of: its elements, found, made and filled.

export const $ = (id) => document.getElementById(id);
export const remPx = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

export function setIcon(svg, name) {
  svg.querySelector('use').setAttribute('href', `#i-${name}`);
}

export function newIcon(name) {
  const icon = $('row-template').content.querySelector('svg').cloneNode(true);
  setIcon(icon, name);
  return icon;
}

/** Give a list as many children as wanted, made from a template; return them. */
export function children(parent, template, count) {
  while (parent.children.length > count) parent.lastElementChild.remove();
  while (parent.children.length < count)
    parent.append($(template).content.firstElementChild.cloneNode(true));
  return [...parent.children];
}
