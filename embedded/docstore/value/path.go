package value

import (
	"strings"
)

// maxPathDepth is how many components a path may have.
const maxPathDepth = 200

// CheckPath verifies the path of a sort, a projection or an expression. The
// error is an *Error.
func CheckPath(path string) error {
	if path == "" {
		return Errorf(40352, "FieldPath cannot be constructed with empty string")
	}
	if strings.HasSuffix(path, ".") {
		return Errorf(40353, "FieldPath must not end with a '.'.")
	}
	parts := strings.Split(path, ".")
	if len(parts) > maxPathDepth {
		return Errorf(CodeOverflow, "FieldPath is too long")
	}
	for _, p := range parts {
		switch {
		case p == "":
			return Errorf(15998, "FieldPath field names may not be empty strings.")
		case p[0] == '$' && p != "$id" && p != "$ref" && p != "$db":
			return Errorf(16410, "FieldPath field names may not start with '$'. Consider using $getField or $setField.")
		case strings.IndexByte(p, 0) >= 0:
			return Errorf(16411, "FieldPath field names may not contain '\\0'.")
		}
	}
	return nil
}
