package main

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"net/rpc"
	"net/rpc/jsonrpc"
	"sync"
)

// KV is the service. It keeps what Wakeful's plain set and get need: value and revisions.
type KV struct {
	mu       sync.RWMutex
	revision uint64
	entries  map[string]entry
}

type entry struct {
	value                    []byte
	create, modify, versions uint64
}

// SetArgs, SetReply, GetArgs and GetReply are what goes over the wire.
type SetArgs struct {
	Key   string
	Value []byte
}

type SetReply struct {
	Revision uint64
}

type GetArgs struct {
	Key string
}

type GetReply struct {
	Revision                                uint64
	Found                                   bool
	Value                                   []byte
	CreateRevision, ModRevision, KeyVersion uint64
}

// Set sets a key.
func (kv *KV) Set(args *SetArgs, reply *SetReply) error {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	kv.revision++
	old, found := kv.entries[args.Key]
	if !found {
		old.create = kv.revision
	}
	kv.entries[args.Key] = entry{args.Value, old.create, kv.revision, old.versions + 1}
	reply.Revision = kv.revision
	return nil
}

// Get reads a key.
func (kv *KV) Get(args *GetArgs, reply *GetReply) error {
	kv.mu.RLock()
	defer kv.mu.RUnlock()
	found, ok := kv.entries[args.Key]
	*reply = GetReply{kv.revision, ok, found.value, found.create, found.modify, found.versions}
	return nil
}

// KVStoreService is the one of Wakeful's JSON door, of which it has what is measured.
type KVStoreService struct {
	mu sync.RWMutex
	m  map[string]string
}

// Get reads a key.
func (kv *KVStoreService) Get(key string, value *string) error {
	kv.mu.RLock()
	defer kv.mu.RUnlock()
	found, ok := kv.m[key]
	if !ok {
		return errors.New("not found")
	}
	*value = found
	return nil
}

// Set sets a key.
func (kv *KVStoreService) Set(pair [2]string, reply *struct{}) error {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	kv.m[pair[0]] = pair[1]
	return nil
}

func serve(words []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	codec := flags.String("codec", "gob", "gob or json")
	if err := flags.Parse(words); err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.Register(&KV{revision: 1, entries: map[string]entry{}}); err != nil {
		return err
	}
	if err := server.Register(&KVStoreService{m: map[string]string{}}); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("listening on", listener.Addr())
	if *codec == "gob" {
		server.Accept(listener)
		return nil
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go server.ServeCodec(jsonrpc.NewServerCodec(conn))
	}
}
