// What the page calls things.

export const SEEN_WORDS = ['unlabelled', 'hidden', 'visible'];

export const STATE_WORDS = {
  todo: 'To do',
  draft: 'Draft',
  accepted: 'Accepted',
  fixed: 'Fixed',
  rejected: 'Rejected',
  failed: 'Unreadable',
};

export const readable = (name) => name.replaceAll('_', ' ');

/** Return how many there are of what one is called so. */
export const counted = (count, word) =>
  `${count.toLocaleString()} ${word}${count === 1 ? '' : 's'}`;

export function moment(seconds) {
  return new Date(1000 * seconds).toLocaleString([], {dateStyle: 'medium', timeStyle: 'short'});
}
