package state

// node is a key with what is kept of it, in an order of last use.
type node[T any] struct {
	key          fingerprint
	older, newer int32 // nodes of its order; -1: none
	value        T
}

// nodes are those under one lock. They refer to each other by their places.
type nodes[T any] []node[T]

// order is a list of nodes in the order of their last use; -1: none. Which of them goes when there is no room is its owner's.
type order struct{ oldest, newest int32 }

// emptyOrder returns an order of no nodes.
func emptyOrder() order { return order{-1, -1} }

// link makes a node, which lies in no order, the newest of one.
func (n nodes[T]) link(o *order, i int32) {
	x := &n[i]
	x.older, x.newer = o.newest, -1
	if o.newest >= 0 {
		n[o.newest].newer = i
	} else {
		o.oldest = i
	}
	o.newest = i
}

// unlink takes a node out of its order.
func (n nodes[T]) unlink(o *order, i int32) {
	x := &n[i]
	if x.older >= 0 {
		n[x.older].newer = x.newer
	} else {
		o.oldest = x.newer
	}
	if x.newer >= 0 {
		n[x.newer].older = x.older
	} else {
		o.newest = x.older
	}
}
