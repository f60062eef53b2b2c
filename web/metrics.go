package web

import (
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is the process's Prometheus registry and the counters of HTTP.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	panics   prometheus.Counter
}

// NewMetrics makes a registry with the Go runtime's and the process's figures.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "eider_http_request_seconds",
			Help:    "Time from request to answer, by surface, route and status.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
		}, []string{"surface", "route", "status"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "eider_panics_total",
			Help: "Recovered panics. Each is a defect; the log has its stack.",
		}),
	}
	m.registry.MustRegister(m.requests, m.panics, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Registry takes further collectors.
func (m *Metrics) Registry() prometheus.Registerer { return m.registry }

// Handler serves the figures in Prometheus' text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// middleware observes by route pattern, never by path, so that strangers
// cannot grow the set of series.
func (m *Metrics) middleware(surface string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			start := time.Now()
			err := next(c)
			route := c.Path()
			if route == "" {
				route = "none"
			}
			m.requests.WithLabelValues(surface, route, strconv.Itoa(c.Response().Status)).
				Observe(time.Since(start).Seconds())
			return err
		}
	}
}
