"""The steps that must be atomic, as Lua for the server. What they do is said in `leases.py`.

All keys of a gateway carry the hash tag {gateway}, so in a cluster they lie in one slot and every
script may touch all of them. Times are the server's. Records, epochs and blobs are octets that no
script reads; leases are JSON. All sessions stand in one sorted set, by user and age, so that a step
costs the same however many sessions a user has.
"""

from __future__ import annotations

from typing import Final

# What a view is: the epoch, then names and records in turn.
_VIEW: Final = """
local function view(changed)
  local out = {changed, redis.call('GET', KEYS[1]) or ''}
  for _, field in ipairs(redis.call('HGETALL', KEYS[2])) do out[#out + 1] = field end
  return out
end
"""

# KEYS: epoch, records, marks. ARGV: identity, mark, record.
BEAT: Final = (
    _VIEW
    + """
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
end
return view(0)
"""
)

# KEYS: epoch, records, marks, epoch id, unrestored, generation.
# ARGV: expected id ('' for none), epoch id, epoch, number of marks, (identity, mark)...,
#       (identity, mark, record) of every member.
CHANGE: Final = (
    _VIEW
    + """
local expected, at = ARGV[1], 5
if (redis.call('GET', KEYS[4]) or '') ~= expected then return view(0) end
for _ = 1, tonumber(ARGV[4]) do
  if (redis.call('HGET', KEYS[3], ARGV[at]) or '') ~= ARGV[at + 1] then return view(0) end
  at = at + 2
end
local fresh = redis.call('EXISTS', KEYS[1]) == 0
if fresh then
  redis.call('DEL', KEYS[5])
  redis.call('SET', KEYS[6], ARGV[2])
end
local listed = {}
while at <= #ARGV do
  local who = ARGV[at]
  listed[who] = true
  if redis.call('HEXISTS', KEYS[2], who) == 0 then
    redis.call('HSET', KEYS[3], who, ARGV[at + 1])
    redis.call('HSET', KEYS[2], who, ARGV[at + 2])
  end
  if fresh then redis.call('SADD', KEYS[5], who) end
  at = at + 3
end
for _, who in ipairs(redis.call('HKEYS', KEYS[2])) do
  if not listed[who] then
    redis.call('HDEL', KEYS[2], who)
    redis.call('HDEL', KEYS[3], who)
    redis.call('SREM', KEYS[5], who)
  end
end
redis.call('SET', KEYS[4], ARGV[2])
redis.call('SET', KEYS[1], ARGV[3])
return view(1)
"""
)

# KEYS: epoch, unrestored, when members said so, generation. ARGV: identity, lease ms, generation.
RESTORED: Final = """
if (redis.call('GET', KEYS[4]) or '') ~= ARGV[3] then return 0 end
local parts = redis.call('TIME')
local now = parts[1] * 1000 + math.floor(parts[2] / 1000)
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - 10 * ARGV[2])
redis.call('SREM', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[1]) == 1 and redis.call('SCARD', KEYS[2]) == 0 then return 1 end
return 0
"""

# KEYS: claims. ARGV: owner, epoch, shard... A claim is "epoch owner".
CLAIM: Final = """
local mine, granted = ARGV[2] .. ' ' .. ARGV[1], {}
for at = 3, #ARGV do
  local standing = redis.call('HGET', KEYS[1], ARGV[at])
  local epoch = standing and tonumber(string.match(standing, '^%d+'))
  if not standing or standing == mine or epoch < tonumber(ARGV[2]) then
    redis.call('HSET', KEYS[1], ARGV[at], mine)
    granted[#granted + 1] = tonumber(ARGV[at])
  end
end
return granted
"""

# KEYS: claims, the shard's check-points. ARGV: owner, epoch, shard, seconds to keep them,
# (session, '1' and blob or '')...
PUT: Final = """
local standing = redis.call('HGET', KEYS[1], ARGV[3])
if not standing then return 'unclaimed' end
if standing ~= ARGV[2] .. ' ' .. ARGV[1] then return 'deposed' end
for at = 5, #ARGV, 2 do
  if ARGV[at + 1] == '' then
    redis.call('HDEL', KEYS[2], ARGV[at])
  else
    redis.call('HSET', KEYS[2], ARGV[at], ARGV[2] .. ' ' .. string.sub(ARGV[at + 1], 2))
  end
end
redis.call('EXPIRE', KEYS[2], ARGV[4])
return 'done'
"""

# KEYS of all scripts from here on: leases, holders, by user, expiry, released, cursors,
# last address, last user, clock, epoch, unrestored, over, records, when members had renewed all,
# leaving, generation.
_BOOK: Final = """
local LEASES, HOLDERS, BY_USER, EXPIRY, RELEASED, CURSORS = unpack(KEYS, 1, 6)
local LAST_ADDRESS, LAST_USER, CLOCK, EPOCH, UNRESTORED = unpack(KEYS, 7, 11)
local OVER, RECORDS, SAID_ALL, LEAVING = unpack(KEYS, 12, 15)
local parts = redis.call('TIME')
local now = parts[1] * 1000 + math.floor(parts[2] / 1000)
local lease_ms, gap_ms, over_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local function lease_of(session)
  local found = redis.call('HGET', LEASES, session)
  return found and cjson.decode(found)
end

local function place_of(lease)
  return lease.user .. string.format(':%020d:', lease.since_ms) .. lease.session
end

-- ';' comes after ':'
local function count_of(user)
  return redis.call('ZLEXCOUNT', BY_USER, '[' .. user .. ':', '(' .. user .. ';')
end

-- The oldest first.
local function sessions_of(user)
  local places = redis.call('ZRANGEBYLEX', BY_USER, '[' .. user .. ':', '(' .. user .. ';')
  for at, place in ipairs(places) do places[at] = string.match(place, '^[^:]*:[^:]*:(.*)$') end
  return places
end

local function note_time()
  local asked = tonumber(redis.call('HGET', CLOCK, 'asked') or now)
  if now - asked > gap_ms then redis.call('HSET', CLOCK, 'quiet_until', now + lease_ms) end
  redis.call('HSET', CLOCK, 'asked', now)
  redis.call('ZREMRANGEBYSCORE', OVER, '-inf', now)
end

local function extend(session) redis.call('ZADD', EXPIRY, now + lease_ms, session) end

local function remove(session)
  local lease = lease_of(session)
  if not lease then return end
  redis.call('HDEL', LEASES, session)
  redis.call('ZREM', EXPIRY, session)
  redis.call('HDEL', HOLDERS, lease.address)
  redis.call('ZADD', RELEASED, redis.call('HINCRBY', CLOCK, 'releases', 1), lease.address)
  redis.call('ZREM', BY_USER, place_of(lease))
end

local function finish(session)
  remove(session)
  redis.call('ZADD', OVER, now + over_ms, session)
end

local function replace(session)
  local lease = lease_of(session)
  lease.till = now + lease_ms
  redis.call('HSET', LEAVING, session, cjson.encode(lease))
  finish(session)
end

local function take(lease)
  redis.call('HSET', LEASES, lease.session, cjson.encode(lease))
  redis.call('HSET', HOLDERS, lease.address, lease.session)
  extend(lease.session)
  redis.call('ZREM', RELEASED, lease.address)
  redis.call('ZADD', BY_USER, 0, place_of(lease))
  local former = redis.call('HGET', LAST_USER, lease.address)
  if former and redis.call('HGET', LAST_ADDRESS, former) == lease.address then
    redis.call('HDEL', LAST_ADDRESS, former)
  end
  local before = redis.call('HGET', LAST_ADDRESS, lease.user)
  if before and before ~= lease.address then redis.call('HDEL', LAST_USER, before) end
  redis.call('HSET', LAST_ADDRESS, lease.user, lease.address)
  redis.call('HSET', LAST_USER, lease.address, lease.user)
end
"""

# ARGV: lease ms, gap ms, over ms, the most to reap at once, the request as JSON.
ADMIT: Final = (
    _BOOK
    + """
if redis.call('EXISTS', EPOCH) == 0 or redis.call('SCARD', UNRESTORED) > 0 then
  return {'refused', 'store_away'}
end
note_time()

local function may_hold(owner, till)
  if redis.call('HEXISTS', RECORDS, owner) == 0 then return false end
  local said = tonumber(redis.call('ZSCORE', SAID_ALL, owner) or 0)
  return said < till - lease_ms + lease_ms / 2
end

if now >= tonumber(redis.call('HGET', CLOCK, 'quiet_until') or 0) then
  local late = redis.call('ZRANGEBYSCORE', EXPIRY, '-inf', now, 'LIMIT', 0, ARGV[4])
  for _, session in ipairs(late) do
    local till = tonumber(redis.call('ZSCORE', EXPIRY, session))
    if may_hold(lease_of(session).owner, till) then
      extend(session)
    else
      remove(session)
    end
  end
end

local request = cjson.decode(ARGV[5])
local held = lease_of(request.session)
if held and held.user == request.user
    and (request.static == '' or request.static == held.address) then
  extend(held.session)
  return {'granted', held.address}
end
remove(request.session)

-- Who has to end for this one?
local replaced = {}
local surplus = request.limit > 0 and count_of(request.user) + 1 - request.limit or 0
for _, session in ipairs(surplus > 0 and sessions_of(request.user) or {}) do
  if #replaced >= surplus then break end
  if request.replace_oldest or lease_of(session).device == request.device then
    replaced[#replaced + 1] = session
  end
end
if #replaced < surplus then return {'refused', 'too_many_sessions'} end
local total = redis.call('HLEN', LEASES) + 1 - #replaced
if request.sessions_max > 0 and total > request.sessions_max then
  return {'refused', 'sessions_limit'}
end

redis.call('HDEL', LEAVING, request.session)
local leaving, awaited = redis.call('HGETALL', LEAVING), {}
for at = 1, #leaving, 2 do
  local lease = cjson.decode(leaving[at + 1])
  if lease.till <= now and not may_hold(lease.owner, lease.till) then
    redis.call('HDEL', LEAVING, leaving[at])
  elseif lease.user ~= request.user then
    awaited[lease.address] = true
  end
end

local freed = {}
for _, session in ipairs(replaced) do freed[#freed + 1] = lease_of(session).address end

local function is_freed(address)
  for _, one in ipairs(freed) do if one == address then return true end end
  return false
end

local function within(address)
  local number = tonumber(address)
  for _, range in ipairs(request.ranges) do
    if range[1] <= number and number <= range[2] then return true end
  end
  return false
end

local function is_held(address) return redis.call('HEXISTS', HOLDERS, address) == 1 end

local function text(number) return string.format('%d', number) end

local function wished()
  for _, wish in ipairs({request.requested, redis.call('HGET', LAST_ADDRESS, request.user)}) do
    if wish and wish ~= '' and within(wish) and not awaited[wish]
        and (not is_held(wish) or is_freed(wish)) then
      local awaited_by = redis.call('HGET', LAST_USER, wish) or request.user
      if awaited_by == request.user then return wish end
    end
  end
end

local function never_used()
  for _, range in ipairs(request.ranges) do
    local name = text(range[1]) .. '-' .. text(range[2])
    local cursor = tonumber(redis.call('HGET', CURSORS, name) or range[1])
    while cursor <= range[2] and (is_held(text(cursor))
        or redis.call('ZSCORE', RELEASED, text(cursor))) do
      cursor = cursor + 1
    end
    redis.call('HSET', CURSORS, name, text(cursor))
    if cursor <= range[2] then return text(cursor) end
  end
end

local function longest_released()
  local at = 0
  while true do
    local some = redis.call('ZRANGE', RELEASED, at, at + 99)
    for _, address in ipairs(some) do
      if within(address) and not awaited[address] then return address end
    end
    if #some < 100 then return nil end
    at = at + 100
  end
end

local function first_freed()
  for _, address in ipairs(freed) do if within(address) then return address end end
end

local address
if request.static ~= '' then
  address = request.static
  if awaited[address] or (is_held(address) and not is_freed(address)) then
    return {'refused', 'static_address_taken'}
  end
else
  address = wished() or never_used() or longest_released() or first_freed()
  if not address then return {'refused', 'pool_exhausted'} end
end
local out = {'granted', address}
for _, session in ipairs(replaced) do
  out[#out + 1] = session
  out[#out + 1] = lease_of(session).owner
end
for _, session in ipairs(replaced) do replace(session) end
redis.call('ZREM', OVER, request.session)
take({session = request.session, user = request.user, device = request.device,
      since_ms = request.since_ms, owner = request.owner, address = address})
return out
"""
)

# ARGV: lease ms, gap ms, over ms, the leases as a JSON list. Returns two lists, lost
# and displaced, and the generation.
RENEW: Final = (
    _BOOK
    + """
note_time()
local lost, displaced = {}, {}
for _, lease in ipairs(cjson.decode(ARGV[4])) do
  local wins, other = true, redis.call('HGET', HOLDERS, lease.address)
  if redis.call('ZSCORE', OVER, lease.session) then
    wins = false
    lost[#lost + 1] = lease.session
  elseif other and other ~= lease.session then
    local holder = lease_of(other)
    if holder.since_ms < lease.since_ms
        or (holder.since_ms == lease.since_ms and other < lease.session) then
      wins = false
      lost[#lost + 1] = lease.session
      remove(lease.session)
    else
      displaced[#displaced + 1] = other
      displaced[#displaced + 1] = holder.owner
      replace(other)
    end
  end
  if wins then
    local known = lease_of(lease.session)
    if known and known.address == lease.address and known.user == lease.user then
      known.owner = lease.owner
      redis.call('HSET', LEASES, lease.session, cjson.encode(known))
      extend(lease.session)
    else
      remove(lease.session)
      take(lease)
    end
  end
end
return {lost, displaced, redis.call('GET', KEYS[16]) or ''}
"""
)

# ARGV: lease ms, gap ms, over ms, session.
RELEASE: Final = (
    _BOOK
    + """
note_time()
finish(ARGV[4])
redis.call('HDEL', LEAVING, ARGV[4])
return 1
"""
)

# KEYS: entries, expiry. ARGV: seconds, (session, entry)...
PUBLISH: Final = """
local now, until_ = redis.call('TIME')[1] + 0, 0
until_ = now + ARGV[1]
for at = 2, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
  redis.call('ZADD', KEYS[2], until_, ARGV[at])
end
return 1
"""

# KEYS: entries, expiry. Returns sessions and entries in turn.
DIRECTORY: Final = """
local over = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', redis.call('TIME')[1])
for _, session in ipairs(over) do
  redis.call('HDEL', KEYS[1], session)
  redis.call('ZREM', KEYS[2], session)
end
return redis.call('HGETALL', KEYS[1])
"""
