package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"sort"
	"strings"
	"time"
)

type lane struct {
	client    *rpc.Client
	random    *rand.Rand
	latencies []int64
	err       error
}

func load(words []string) error {
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	addr := flags.String("addr", "", "address of the server")
	codec := flags.String("codec", "gob", "gob, for the service KV, or json, for KVStoreService")
	connections := flags.Int("connections", 50, "connections")
	pipeline := flags.Int("pipeline", 1, "requests in flight on each connection")
	op := flags.String("op", "set", "set or get")
	valueBytes := flags.Int("value-bytes", 64, "bytes of a value")
	keys := flags.Int("keys", 100000, "keys to draw from")
	fill := flags.Bool("fill", false, "set every key once before anything is measured")
	seconds := flags.Float64("seconds", 10, "how long")
	if err := flags.Parse(words); err != nil {
		return err
	}
	calls := calls(gobCalls{bytes.Repeat([]byte("x"), *valueBytes)})
	dial := rpc.Dial
	if *codec == "json" {
		calls, dial = jsonCalls{strings.Repeat("x", *valueBytes)}, jsonrpc.Dial
	}
	if *fill {
		if err := fillAll(dial, *addr, *keys, calls); err != nil {
			return err
		}
	}
	lanes := make([]*lane, *connections)
	for place := range lanes {
		client, err := dial("tcp", *addr)
		if err != nil {
			return err
		}
		lanes[place] = &lane{client: client, random: rand.New(rand.NewSource(int64(place)))}
	}

	begun := time.Now()
	end := begun.Add(time.Duration(*seconds * float64(time.Second)))
	done := make(chan struct{}, len(lanes))
	for _, one := range lanes {
		go func(one *lane) {
			one.err = one.run(end, *pipeline, *op == "set", *keys, calls)
			done <- struct{}{}
		}(one)
	}
	for range lanes {
		<-done
	}
	took := time.Since(begun)
	return report(lanes, took)
}

// fillAll sets every key once, before any lane is there: one that says nothing for long is closed.
func fillAll(dial func(network, addr string) (*rpc.Client, error), addr string, keys int, calls calls) error {
	client, err := dial("tcp", addr)
	if err != nil {
		return err
	}
	defer client.Close()
	const batch = 100
	answers := make(chan *rpc.Call, batch)
	for first := 0; first < keys; first += batch {
		count := min(batch, keys-first)
		for key := first; key < first+count; key++ {
			calls.set(client, key, answers)
		}
		for answered := 0; answered < count; answered++ {
			if call := <-answers; call.Error != nil {
				return call.Error
			}
		}
	}
	return nil
}

// Go has a min of its own only from 1.21 on.
func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

// run sends a batch, awaits all its replies, and sends the next: as wakeful-bench does.
func (one *lane) run(end time.Time, pipeline int, set bool, keys int, calls calls) error {
	answers := make(chan *rpc.Call, pipeline)
	for started := time.Now(); started.Before(end); started = time.Now() {
		for sent := 0; sent < pipeline; sent++ {
			key := one.random.Intn(keys)
			if set {
				calls.set(one.client, key, answers)
			} else {
				calls.get(one.client, key, answers)
			}
		}
		for answered := 0; answered < pipeline; answered++ {
			if call := <-answers; call.Error != nil {
				return call.Error
			}
			one.latencies = append(one.latencies, int64(time.Since(started)))
		}
	}
	return nil
}

// calls are what a service takes.
type calls interface {
	set(client *rpc.Client, key int, done chan *rpc.Call)
	get(client *rpc.Client, key int, done chan *rpc.Call)
}

type gobCalls struct{ value []byte }

func (calls gobCalls) set(client *rpc.Client, key int, done chan *rpc.Call) {
	client.Go("KV.Set", &SetArgs{name(key), calls.value}, new(SetReply), done)
}

func (calls gobCalls) get(client *rpc.Client, key int, done chan *rpc.Call) {
	client.Go("KV.Get", &GetArgs{name(key)}, new(GetReply), done)
}

type jsonCalls struct{ value string }

// Values differ, as a set to what is there is done without a write.
func (calls jsonCalls) set(client *rpc.Client, key int, done chan *rpc.Call) {
	value := fmt.Sprintf("%08x%s", rand.Uint32(), calls.value)[:len(calls.value)]
	client.Go("KVStoreService.Set", [2]string{name(key), value}, new(struct{}), done)
}

func (calls jsonCalls) get(client *rpc.Client, key int, done chan *rpc.Call) {
	client.Go("KVStoreService.Get", name(key), new(string), done)
}

func name(key int) string {
	return fmt.Sprintf("key:%012d", key)
}

func report(lanes []*lane, took time.Duration) error {
	var all []int64
	for _, one := range lanes {
		if one.err != nil {
			return one.err
		}
		all = append(all, one.latencies...)
	}
	if len(all) == 0 {
		return fmt.Errorf("no request was answered")
	}
	sort.Slice(all, func(a, b int) bool { return all[a] < all[b] })
	micros := func(quantile float64) float64 {
		return float64(all[int(quantile*float64(len(all)-1))]) / 1e3
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]interface{}{
		"mode":       "load",
		"requests":   len(all),
		"seconds":    took.Seconds(),
		"per_second": int(float64(len(all)) / took.Seconds()),
		"p50_us":     micros(0.5),
		"p99_us":     micros(0.99),
		"p999_us":    micros(0.999),
		"max_us":     micros(1),
	})
}
