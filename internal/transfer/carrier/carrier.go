// Package carrier carries single objects from one store to another: small ones
// with one request, large ones in parallel parts that are taken up again after a
// crash, between places of one service without their bytes. What arrived is
// compared with what left before an object counts as copied.
package carrier
