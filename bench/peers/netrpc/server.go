package main

import (
	"fmt"
	"net"
	"net/rpc"
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

func serve() error {
	server := rpc.NewServer()
	if err := server.Register(&KV{revision: 1, entries: map[string]entry{}}); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("listening on", listener.Addr())
	server.Accept(listener)
	return nil
}
