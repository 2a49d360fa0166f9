// Package e2e proves the binary as people use it: on real servers, killed at any
// moment, run twice at once, with a full disk and a wrong password. What it leaves
// is judged by the source's own tools and by DuckDB, never by godwit.
package e2e
