package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
)

// profiles are the files that say where this process spends its time in a part;
// name the part. "delivery" runs its server in this process then.
type profiles struct{ cpu, mutex, block, memory string }

func (p *profiles) flags() {
	flag.StringVar(&p.cpu, "cpuprofile", "", "write a profile of the processor to this file")
	flag.StringVar(&p.mutex, "mutexprofile", "", "write a profile of waiting for locks to this file")
	flag.StringVar(&p.block, "blockprofile", "", "write a profile of waiting for other goroutines to this file")
	flag.StringVar(&p.memory, "memprofile", "", "write a profile of allocations to this file")
}

// inside reports that what is measured has to run in this process.
func (p *profiles) inside() bool { return *p != profiles{} }

// start begins the profiles and gives what ends and writes them.
func (p *profiles) start() (stop func() error, err error) {
	if p.mutex != "" {
		runtime.SetMutexProfileFraction(10)
	}
	if p.block != "" {
		runtime.SetBlockProfileRate(10_000)
	}
	cpu := func() error { return nil }
	if p.cpu != "" {
		f, err := os.Create(p.cpu)
		if err != nil {
			return nil, err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		cpu = func() error {
			pprof.StopCPUProfile()
			return f.Close()
		}
	}
	return func() error {
		return errors.Join(cpu(), write("mutex", p.mutex), write("block", p.block), write("allocs", p.memory))
	}, nil
}

func write(name, path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := pprof.Lookup(name).WriteTo(f, 0); err != nil {
		return errors.Join(fmt.Errorf("profile %s: %w", name, err), f.Close())
	}
	return f.Close()
}
