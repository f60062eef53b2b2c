package safehtml

import (
	"net/url"
	"strings"
)

// beaconHosts serve nothing in mail but marks that it was read.
var beaconHosts = []string{
	"google-analytics.com", "doubleclick.net", "emltrk.com", "mailtrack.io", "mailstat.us", "bananatag.com", "yesware.com",
	"getnotify.com", "readnotify.com", "didtheyreadit.com", "pstmrk.it", "awstrack.me", "mixmax.com", "mailfoogae.appspot.com",
	"cirrusinsight.com", "toutapp.com", "trk.email", "r.superhuman.com", "boomeranggmail.com", "polymail.io", "scorecardresearch.com",
	"litmus-analytics.com", "movableink-analytics.com", "bat.bing.com", "pixel.wp.com", "contactmonkey.com", "saleshandy.com",
	"mailtag.io", "vtrack.email", "opentracking.io",
}

// beaconPaths are parts of path and query by which mailing services build
// the address of such a mark, on whatever host.
var beaconPaths = []string{
	"/track/open", "/wf/open", "/open.aspx", "/open.php", "/open.gif", "/o.gif", "/pixel.gif", "/pixel.png", "/beacon.gif",
	"/track.gif", "/tracking.gif", "/trackopen", "/email_open_log_pic.php", "/emimp/", "/mpss/o/", "/ss/o/", "/e2t/o/", "/e3t/o/",
	"/e2t/to/", "/open/log/", "/imp?", "/gp/r.html", "/trace/mail/", "/bltn_tracker", "/t.gif?", "/blank.gif?", "/spacer.gif?", "/1x1.gif",
	"/1x1.png", "/email/open", "/emailopen", "/api/v1/track", "/openrate", "/read-receipt", "/readreceipt", "/utm.gif", "/clear.gif?",
}

// knownBeacon reports an address that only tells that the message was read.
func knownBeacon(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		return false
	}
	host := u.Hostname()
	for _, h := range beaconHosts {
		if host == h || strings.HasSuffix(host, "."+h) {
			return true
		}
	}
	path := strings.ToLower(u.EscapedPath())
	if u.RawQuery != "" {
		path += "?"
	}
	for _, p := range beaconPaths {
		if strings.Contains(path, p) {
			return true
		}
	}
	return false
}
