package value

import "fmt"

// Error is a refusal in MongoDB's terms: the numeric code, its name and a
// message for people. Callers find it with errors.As.
type Error struct {
	Code    int32
	Name    string
	Message string
}

// Error gives the name, the code and the message.
func (e *Error) Error() string { return fmt.Sprintf("%s (%d): %s", e.Name, e.Code, e.Message) }

// names are MongoDB's names of its numbered errors; any other code is
// "Location" and the number.
func codeName(code int32) string {
	switch code {
	case CodeInternal:
		return "InternalError"
	case CodeBadValue:
		return "BadValue"
	case CodeFailedToParse:
		return "FailedToParse"
	case CodeTypeMismatch:
		return "TypeMismatch"
	case CodeOverflow:
		return "Overflow"
	case CodeInvalidLength:
		return "InvalidLength"
	case CodeInvalidBSON:
		return "InvalidBSON"
	case CodeIndexNotFound:
		return "IndexNotFound"
	case CodeQueryFeatureNotAllowed:
		return "QueryFeatureNotAllowed"
	case CodePathNotViable:
		return "PathNotViable"
	case CodeCannotBackfill:
		return "CannotBackfillArray"
	case CodeConflictingUpdate:
		return "ConflictingUpdateOperators"
	case CodeDollarPrefixed:
		return "DollarPrefixedFieldName"
	case CodeInvalidID:
		return "InvalidIdField"
	case CodeNotSingleValue:
		return "NotSingleValueField"
	case CodeEmptyFieldName:
		return "EmptyFieldName"
	case CodeDottedFieldName:
		return "DottedFieldName"
	case CodeImmutableField:
		return "ImmutableField"
	case CodeInvalidOptions:
		return "InvalidOptions"
	case CodeInvalidOperator:
		return "InvalidPipelineOperator"
	case CodeTransactionTooOld:
		return "TransactionTooOld"
	case CodeNotImplemented:
		return "NotImplemented"
	case CodeExceededMemory:
		return "ExceededMemoryLimit"
	case CodeTooLarge:
		return "BSONObjectTooLarge"
	default:
		return fmt.Sprintf("Location%d", code)
	}
}

// The error codes used by name.
const (
	CodeInternal               int32 = 1
	CodeBadValue               int32 = 2
	CodeFailedToParse          int32 = 9
	CodeTypeMismatch           int32 = 14
	CodeOverflow               int32 = 15
	CodeInvalidLength          int32 = 16
	CodeInvalidBSON            int32 = 22
	CodeIndexNotFound          int32 = 27
	CodePathNotViable          int32 = 28
	CodeCannotBackfill         int32 = 34
	CodeConflictingUpdate      int32 = 40
	CodeDollarPrefixed         int32 = 52
	CodeInvalidID              int32 = 53
	CodeNotSingleValue         int32 = 54
	CodeEmptyFieldName         int32 = 56
	CodeDottedFieldName        int32 = 57
	CodeImmutableField         int32 = 66
	CodeInvalidOptions         int32 = 72
	CodeExceededMemory         int32 = 146
	CodeInvalidOperator        int32 = 168
	CodeQueryFeatureNotAllowed int32 = 224
	CodeTransactionTooOld      int32 = 225
	CodeNotImplemented         int32 = 238
	CodeTooLarge               int32 = 10334
)

// Errorf makes an Error of the given code.
func Errorf(code int32, format string, args ...any) *Error {
	return &Error{Code: code, Name: codeName(code), Message: fmt.Sprintf(format, args...)}
}

// BadValue is error 2.
func BadValue(format string, args ...any) *Error { return Errorf(CodeBadValue, format, args...) }

// FailedToParse is error 9.
func FailedToParse(format string, args ...any) *Error {
	return Errorf(CodeFailedToParse, format, args...)
}

// TypeMismatch is error 14.
func TypeMismatch(format string, args ...any) *Error {
	return Errorf(CodeTypeMismatch, format, args...)
}
