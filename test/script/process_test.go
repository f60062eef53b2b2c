package script

import (
	"bufio"
	"errors"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"
)

// patience bounds every wait for an event. It is reached only by a defect.
const patience = 30 * time.Second

// lines collects a stream line by line and lets others wait for one.
type lines struct {
	mu      sync.Mutex
	all     []string
	changed chan struct{}
	ended   bool
}

func newLines() *lines { return &lines{changed: make(chan struct{})} }

// read takes the whole stream.
func (l *lines) read(r io.Reader) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		l.add(s.Text(), false)
	}
	l.add("", true)
}

func (l *lines) add(line string, end bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if end {
		l.ended = true
	} else {
		l.all = append(l.all, line)
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// await gives the first line from the given one on that matches. ok is false
// when the stream ended without.
func (l *lines) await(from int, re *regexp.Regexp) (line string, index int, err error) {
	timeout := time.After(patience)
	for {
		l.mu.Lock()
		for ; from < len(l.all); from++ {
			if re.MatchString(l.all[from]) {
				defer l.mu.Unlock()
				return l.all[from], from, nil
			}
		}
		ended, changed := l.ended, l.changed
		l.mu.Unlock()
		if ended {
			return "", from, errors.New("the stream ended without it")
		}
		select {
		case <-changed:
		case <-timeout:
			return "", from, errors.New("it did not come")
		}
	}
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return ""
	}
	return strings.Join(l.all, "\n") + "\n"
}

// process is a running eider.
type process struct {
	cmd      *exec.Cmd
	out, err *lines
	done     chan struct{}
	result   error
}

func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, out: newLines(), err: newLines(), done: make(chan struct{})}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	log, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var reading sync.WaitGroup
	reading.Go(func() { p.out.read(out) })
	reading.Go(func() { p.err.read(log) })
	go func() {
		reading.Wait()
		p.result = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// wait waits for the end.
func (p *process) wait() error {
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
		return errors.New("eider did not end")
	}
}

func (p *process) close() {
	_ = p.cmd.Process.Kill()
	<-p.done
}
