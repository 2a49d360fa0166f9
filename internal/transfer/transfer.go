// Package transfer carries out file jobs: it lists the source by key ranges,
// compares with an ordered listing of the target, writes what is to be done into
// pages on disk, has it done, and records how each object ended.
package transfer
