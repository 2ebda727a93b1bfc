// What Go's net/rpc/jsonrpc has to say to Wakeful, and what it would say itself.
//
//	wakefultest calls ADDR     the calls of the tutorial that Wakeful's KVStoreService is from
//	wakefultest hello ADDR     a service of one's own, with a login
//	wakefultest serve          the tutorial's own server, to compare with; prints "listening on ADDR"
package main

import (
	"fmt"
	"os"
)

func main() {
	err := fmt.Errorf("usage: wakefultest calls ADDR | hello ADDR | serve")
	switch {
	case len(os.Args) == 3 && os.Args[1] == "calls":
		err = calls(os.Args[2])
	case len(os.Args) == 3 && os.Args[1] == "hello":
		err = hello(os.Args[2])
	case len(os.Args) == 2 && os.Args[1] == "serve":
		err = serve()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "wakefultest:", err)
		os.Exit(1)
	}
}
