package main

import (
	"errors"
	"fmt"
	"net/rpc"
	"net/rpc/jsonrpc"
	"sync"
)

// calls makes the tutorial's calls, with jsonrpc.Dial in place of rpc.Dial.
func calls(addr string) error {
	client, err := jsonrpc.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer client.Close()
	for _, step := range []func(*rpc.Client) error{
		getAndSet, watch, timeout, refusals, beside, manyAtOnce, everythingElse, lastWatch,
	} {
		if err := step(client); err != nil {
			return err
		}
	}
	fmt.Println("all calls made")
	return nil
}

func getAndSet(client *rpc.Client) error {
	var value string
	if err := client.Call("KVStoreService.Get", "abc", &value); !says(err, "not found") {
		return fmt.Errorf("a key that is not there: %v", err)
	}
	if err := set(client, "abc", "abc-value"); err != nil {
		return err
	}
	if err := client.Call("KVStoreService.Get", "abc", &value); err != nil || value != "abc-value" {
		return fmt.Errorf("got %q, %v", value, err)
	}
	// A result without a value, decoded into any type.
	var anything interface{}
	err := client.Call("KVStoreService.Set", [2]string{"<&>\u2028\u00e9\x00\"\\", "\U0001f600"}, &anything)
	if err != nil || anything == nil {
		return fmt.Errorf("a set without a result came to %v, %v", anything, err)
	}
	err = client.Call("KVStoreService.Get", "<&>\u2028\u00e9\x00\"\\", &value)
	if err != nil || value != "\U0001f600" {
		return fmt.Errorf("got %q, %v", value, err)
	}
	return nil
}

// doClientWork of the tutorial: a blocked watch, and a set beside it.
func watch(client *rpc.Client) error {
	var keyChanged string
	watch := client.Go("KVStoreService.Watch", 30, &keyChanged, make(chan *rpc.Call, 1))
	if err := set(client, "abc", "abc-value"); err != nil {
		return err
	}
	if err := ping(client); err != nil {
		return err
	}
	select {
	case <-watch.Done:
		return fmt.Errorf("a set that changes nothing woke a watch: %q, %v", keyChanged, watch.Error)
	default:
	}
	if err := set(client, "abc", "another"); err != nil {
		return err
	}
	if call := <-watch.Done; call.Error != nil || keyChanged != "abc" {
		return fmt.Errorf("the watch came to %q, %v", keyChanged, call.Error)
	}
	fmt.Println("watch:", keyChanged)
	return nil
}

func timeout(client *rpc.Client) error {
	for _, seconds := range []int{-1, 0, 1} {
		var keyChanged string
		err := client.Call("KVStoreService.Watch", seconds, &keyChanged)
		if !says(err, "timeout") {
			return fmt.Errorf("a watch of %d s came to %q, %v", seconds, keyChanged, err)
		}
	}
	return nil
}

func refusals(client *rpc.Client) error {
	var value string
	for method, expected := range map[string]string{
		"KVStoreService.Nope": "rpc: can't find method KVStoreService.Nope",
		"NoService.Nope":      "rpc: can't find service NoService.Nope",
		"Nope":                "rpc: service/method request ill-formed: Nope",
	} {
		if err := client.Call(method, "abc", &value); !says(err, expected) {
			return fmt.Errorf("%s: %v", method, err)
		}
	}
	var server rpc.ServerError
	if err := client.Call("KVStoreService.Get", 5, &value); !errors.As(err, &server) {
		return fmt.Errorf("an argument of the wrong type: %v", err)
	}
	return ping(client)
}

// A blocked watch delays no other call.
func beside(client *rpc.Client) error {
	var keyChanged string
	watch := client.Go("KVStoreService.Watch", 30, &keyChanged, make(chan *rpc.Call, 1))
	var group sync.WaitGroup
	failed := make(chan error, 100)
	for worker := 0; worker < 100; worker++ {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			for round := 0; round < 20; round++ {
				var value string
				err := client.Call("KVStoreService.Get", "abc", &value)
				if err != nil || value != "another" {
					failed <- fmt.Errorf("worker %d got %q, %v", worker, value, err)
					return
				}
			}
		}(worker)
	}
	group.Wait()
	select {
	case err := <-failed:
		return err
	case <-watch.Done:
		return fmt.Errorf("gets woke a watch: %q, %v", keyChanged, watch.Error)
	default:
	}
	if err := set(client, "beside", "1"); err != nil {
		return err
	}
	if call := <-watch.Done; call.Error != nil || keyChanged != "beside" {
		return fmt.Errorf("the watch came to %q, %v", keyChanged, call.Error)
	}
	return nil
}

func manyAtOnce(client *rpc.Client) error {
	const many = 2000
	done := make(chan *rpc.Call, 2*many)
	for place := 0; place < many; place++ {
		pair := [2]string{fmt.Sprintf("key %d", place), fmt.Sprintf("value %d", place)}
		client.Go("KVStoreService.Set", pair, new(struct{}), done)
		client.Go("KVStoreService.Get", pair[0], new(string), done)
	}
	for place := 0; place < 2*many; place++ {
		call := <-done
		if call.Error != nil {
			return fmt.Errorf("%s %v: %v", call.ServiceMethod, call.Args, call.Error)
		}
		if key, isGet := call.Args.(string); isGet {
			// The requests of one connection are executed in the order they were sent.
			if value := *call.Reply.(*string); "value"+key[len("key"):] != value {
				return fmt.Errorf("%s is %q", key, value)
			}
		}
	}
	return nil
}

// The other requests of the protocol, by their names in its document.
func everythingElse(client *rpc.Client) error {
	type keyRange struct{ Key string }
	var was struct {
		Revision uint64 `json:"revision"`
		Changed  bool   `json:"changed"`
	}
	err := client.Call("Wakeful.Set", map[string]interface{}{"key": "native", "value": "1"}, &was)
	if err != nil || !was.Changed || was.Revision == 0 {
		return fmt.Errorf("Wakeful.Set came to %+v, %v", was, err)
	}
	var got struct {
		Kv *struct {
			Value       string `json:"value"`
			ModRevision uint64 `json:"mod_revision"`
		} `json:"kv"`
	}
	err = client.Call("Wakeful.Get", struct{ Key string }{"native"}, &got)
	if err != nil || got.Kv == nil || got.Kv.Value != "1" || got.Kv.ModRevision != was.Revision {
		return fmt.Errorf("Wakeful.Get came to %+v, %v", got, err)
	}
	var waited struct{ Met bool }
	wait := struct {
		Range     keyRange
		Condition string
	}{keyRange{"native"}, "Exists"}
	if err := client.Call("Wakeful.Wait", wait, &waited); err != nil || !waited.Met {
		return fmt.Errorf("Wakeful.Wait came to %+v, %v", waited, err)
	}
	return nil
}

// The connection is lost while a watch is blocked: the client gets an error, and nothing is left.
func lastWatch(client *rpc.Client) error {
	watch := client.Go("KVStoreService.Watch", 3600, new(string), make(chan *rpc.Call, 1))
	if err := ping(client); err != nil {
		return err
	}
	if err := client.Close(); err != nil {
		return err
	}
	if call := <-watch.Done; call.Error == nil {
		return errors.New("a watch whose connection closed came to something")
	}
	return nil
}

func set(client *rpc.Client, key, value string) error {
	return client.Call("KVStoreService.Set", [2]string{key, value}, new(struct{}))
}

// ping is answered after everything that was sent before it.
func ping(client *rpc.Client) error {
	var value string
	if err := client.Call("KVStoreService.Get", "no such key", &value); !says(err, "not found") {
		return fmt.Errorf("the connection does not go on: %v", err)
	}
	return nil
}

func says(err error, text string) bool {
	return err != nil && err.Error() == text
}
