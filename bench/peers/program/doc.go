// Package program is what the programs of this module share: how they end, what they ask of the system, and how a record and its
// report reach a folder. It knows nothing of what is measured.
package program
