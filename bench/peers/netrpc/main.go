// A key-value service on Go's net/rpc, over gob or JSON, and a load for it: a peer to compare Wakeful
// with. Over JSON the load is for Wakeful, too.
//
//	netrpc serve [-codec json]     prints "listening on ADDR" and serves
//	netrpc load -addr ADDR ...     prints one line of JSON, with the names of `wakeful-bench --json`
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: netrpc serve [-codec json] | netrpc load -addr ADDR"))
	}
	var err error
	switch os.Args[1] {
	case "serve":
		err = serve(os.Args[2:])
	case "load":
		err = load(os.Args[2:])
	default:
		err = fmt.Errorf("no command %q", os.Args[1])
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "netrpc:", err)
	os.Exit(1)
}
