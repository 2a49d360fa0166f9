// Package arch holds the project to its layout and style: its tests read the
// source of the whole module and fail where imports point the wrong way, a name
// means nothing, an exported identifier has no contract, or code has grown too
// long. It has no code of its own to use.
package arch
