// Go's net/rpc/jsonrpc as a client of Wakeful, and as a server to compare with.
//
//	wakefultest calls ADDR     the calls of the tutorial that defines KVStoreService
//	wakefultest hello ADDR     a service of the application, with a login
//	wakefultest serve          the tutorial's own server, for comparison; prints "listening on ADDR"
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
