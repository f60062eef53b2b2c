package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"syscall"
	"time"
)

// processorTime is what the process has used so far.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // cannot be with a valid pointer
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// watch runs f and gives its time, and how far what is alive on the heap rose
// above what was there before. For that the collector runs without pause and
// is asked from beside; the time is that of a run by itself.
func watch(f func()) (took time.Duration, peak uint64) {
	runtime.GC()
	start := processorTime()
	f()
	took = processorTime() - start
	runtime.GC()
	base := inUse()
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	done := make(chan struct{})
	var beside sync.WaitGroup
	beside.Go(func() {
		for {
			if now := inUse(); now > base {
				peak = max(peak, now-base)
			}
			select {
			case <-done:
				return
			default:
				runtime.GC()
			}
		}
	})
	f()
	close(done)
	beside.Wait()
	return took, peak
}

func inUse() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
