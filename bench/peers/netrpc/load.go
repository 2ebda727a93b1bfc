package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"net/rpc"
	"os"
	"sort"
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
	value := bytes.Repeat([]byte("x"), *valueBytes)
	lanes := make([]*lane, *connections)
	for place := range lanes {
		client, err := rpc.Dial("tcp", *addr)
		if err != nil {
			return err
		}
		lanes[place] = &lane{client: client, random: rand.New(rand.NewSource(int64(place)))}
	}
	if *fill {
		for key := 0; key < *keys; key++ {
			if err := lanes[0].client.Call("KV.Set", setArgs(key, value), new(SetReply)); err != nil {
				return err
			}
		}
	}

	begun := time.Now()
	end := begun.Add(time.Duration(*seconds * float64(time.Second)))
	done := make(chan struct{}, len(lanes))
	for _, one := range lanes {
		go func(one *lane) {
			one.err = one.run(end, *pipeline, *op == "set", *keys, value)
			done <- struct{}{}
		}(one)
	}
	for range lanes {
		<-done
	}
	took := time.Since(begun)
	return report(lanes, took)
}

// run sends a batch, awaits all its replies, and sends the next: as wakeful bench does.
func (one *lane) run(end time.Time, pipeline int, set bool, keys int, value []byte) error {
	answers := make(chan *rpc.Call, pipeline)
	for started := time.Now(); started.Before(end); started = time.Now() {
		for sent := 0; sent < pipeline; sent++ {
			key := one.random.Intn(keys)
			if set {
				one.client.Go("KV.Set", setArgs(key, value), new(SetReply), answers)
			} else {
				one.client.Go("KV.Get", &GetArgs{name(key)}, new(GetReply), answers)
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

func setArgs(key int, value []byte) *SetArgs {
	return &SetArgs{name(key), value}
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
