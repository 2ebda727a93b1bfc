package main

import (
	"fmt"
	"net/rpc/jsonrpc"
)

// hello makes the calls of the tutorial's HelloService, which requires a login first.
func hello(addr string) error {
	client, err := jsonrpc.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer client.Close()
	var reply string
	if err := client.Call("HelloService.Hello", "hello", &reply); !says(err, "please login") {
		return fmt.Errorf("without a login: %q, %v", reply, err)
	}
	if err := client.Call("HelloService.Login", "user:wrong", &reply); !says(err, "auth failed") {
		return fmt.Errorf("a wrong login: %q, %v", reply, err)
	}
	// The result is empty, which is not null.
	var nothing interface{}
	err = client.Call("HelloService.Login", "user:password", &nothing)
	if err != nil || nothing == nil {
		return fmt.Errorf("a login: %v, %v", nothing, err)
	}
	call := <-client.Go("HelloService.Hello", "hello", &reply, nil).Done
	if call.Error != nil {
		return call.Error
	}
	fmt.Println(reply)
	err = client.Call("HelloService.Nope", "hello", &reply)
	if !says(err, "rpc: can't find method HelloService.Nope") {
		return fmt.Errorf("a method that there is not: %v", err)
	}
	return nil
}
