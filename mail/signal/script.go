package signal

import (
	"errors"

	"github.com/redis/go-redis/v9"
)

var errReply = errors.New("unexpected reply of a script")

// The scripts mean what WildDuck's do, on the same keys, so that both count
// together. Times are milliseconds; WildDuck's EXPIRE and our PEXPIRE set the
// same property of a key.
//
// redis.Script only remembers its own hash.
var (
	// scriptCount: key; by, limit, window -> allowed, value, time left.
	scriptCount = redis.NewScript(`
local value = tonumber(redis.call('GET', KEYS[1]) or '0')
if not value then
	return redis.error_reply('ERR value is not an integer')
end
local by, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
if limit > 0 and value >= limit then
	return {0, value, redis.call('PTTL', KEYS[1])}
end
if by > 0 then
	local fresh = value == 0
	value = redis.call('INCRBY', KEYS[1], ARGV[1])
	if fresh then
		redis.call('PEXPIRE', KEYS[1], ARGV[3])
	end
end
return {1, value, redis.call('PTTL', KEYS[1])}
`)

	// scriptAdjust: key; by, time to live.
	scriptAdjust = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then
	return 0
end
if redis.call('INCRBY', KEYS[1], ARGV[1]) < 0 then
	redis.call('DEL', KEYS[1])
else
	redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1
`)

	// scriptLock: key, index counter; time to live -> index or 0, time left.
	scriptLock = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 1 then
	return {0, redis.call('PTTL', KEYS[1])}
end
local index = redis.call('INCR', KEYS[2])
redis.call('HSET', KEYS[1], 'index', index)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {index, 0}
`)

	// scriptExtend: key; index, time to live -> 1 if it was ours.
	scriptExtend = redis.NewScript(`
if redis.call('HGET', KEYS[1], 'index') ~= ARGV[1] then
	return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`)

	// scriptRelease: key; index, channel -> 1 if it was ours. Those who wait
	// are told the key on the channel.
	scriptRelease = redis.NewScript(`
if redis.call('HGET', KEYS[1], 'index') ~= ARGV[1] then
	return 0
end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[2], KEYS[1])
return 1
`)
)
