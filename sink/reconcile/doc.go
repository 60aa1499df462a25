// Package reconcile is the one judge: from what a sender claims to have sent, the rows of one or more ledgers, the sender's queue, the
// delivery status notifications it gave, its log, and what was done to it (incidents), every (message, recipient) gets exactly one
// fate, and what is wrong becomes a list of typed findings. Console, page, JSON and exit status render that list; nothing else judges.
//
// A Judge streams: claims are kept in compact form, rows are not kept. docs/reconciliation.md says for users what each fate and finding means,
// and comments cite its sections. The package reads readers, never files: who calls it opens them.
package reconcile
