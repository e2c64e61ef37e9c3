-- entry.lua: what a stored action is and how it moves.
--
-- All these files together are one library of functions, see `engine/script.rs`: what stands in a file is known to those
-- behind it. It is loaded once, so nothing may be left over from one run to the next but what `begin` sets anew.
--
-- The one key of a function is the tag `{nq:<domain>:<partition>}:` of the partition; every key is the tag and a suffix:
--   b:<id>                       STRING  header and payload of a live action
--   q:<tenant>:<queue name>      LIST    ids that wait, first come first; tombstones are ids without a body
--   x:<lane>:<tenant>            LIST    ring of the middles (context ids) of the tenant's non-empty queues
--   r:<lane>                     ZSET    tenants with a non-empty ring, by virtual time; and tenants whose ring emptied while
--                                        they were ahead of the lane's virtual time, until it has reached theirs
--   park                         ZSET    `lane:tenant` with a non-empty ring that may not be served now, by virtual time
--   v                            HASH    where the lanes were left (`states_of`), last fencing token, where ticks go on
--   n                            HASH    waiting actions by lane, claims by lane, mean runs
--   w                            HASH    waiting actions by tenant, callbacks not counted; ticks strike out zeros
--   lease                        ZSET    `id:token` by the end of the lease
--   inf                          HASH    leases by tenant, callbacks not counted; ticks strike out zeros
--   d                            ZSET    ids that become visible later, by when
--   f                            HASH    id -> failures, crashes, deadline, first claim
--   cx                           HASH    id -> reason of the cancellation of a running action
--   ol                           HASH    queues whose actions run one at a time -> id that runs, empty when none does
--   cfg, cap, pt                 HASH    limits and pauses; caps by tenant; paused tenants
--   t:<task>                     HASH    record of a task; ti:<tenant> ZSET of the tenant's tasks by creation in microseconds
--   ik:<tenant>:<key>            STRING  id of the action with an idempotency key; dd:<id> of a callback that was taken
--   o, ob                        ZSET, HASH  outbox: ids by when the sweep may take them, and what is handed over
--   dead                         STREAM  actions that were given up
--   wake                         LIST    at most one token, for one waiting worker
--   bell:<loop>                  LIST    calls one waiting worker back when it is to stop

local US, RS = '\31', '\30'
local LANES = {'callbacks', 'enterprise', 'professional', 'advance', 'free'}
local PLACE = {callbacks = 1, enterprise = 2, professional = 3, advance = 4, free = 5}
local call

-- What a run begins with: the tag, the domain in it, and keys that every run needs, put together once: two of them by lane.
local T, DOMAIN, WAITING, RUNNING, BODY, READY, RING
-- Changes in the numbers of waiting actions, written once by `close`, and whether something became visible.
local counted, tenants_counted, woken
-- Whether there is anything of what is seldom there: queues whose actions run one at a time, parked tenants, failures,
-- cancellations, limits and pauses. One question tells that there is nothing.
local seldom, known_ordered, known_parked
-- Tenants by lane that become ready in one go.
local coming
-- The moment of this run in microseconds, set by `clock`; steps of a task carry it.
local stamp

local function begin(tag)
  call = redis.call
  if tag ~= T then
    T, DOMAIN = tag, string.match(tag, '^{nq:([^:}]+)')
    WAITING, RUNNING, BODY, READY, RING = T .. 'w', T .. 'inf', T .. 'b:', {}, {}
    for _, lane in ipairs(LANES) do READY[lane], RING[lane] = T .. 'r:' .. lane, T .. 'x:' .. lane .. ':' end
  end
  counted, tenants_counted, woken, coming, stamp = {}, {}, false, {}, 0
  seldom = call('EXISTS', T .. 'ol', T .. 'park', T .. 'f', T .. 'cx', T .. 'cfg', T .. 'cap', T .. 'pt') > 0
  known_ordered, known_parked = nil, nil
end

-- A number in full: Lua's own conversion rounds to 14 digits.
local function int(number)
  return string.format('%d', number)
end

-- Where the lanes were left, as numbers of 8 bytes in one field: the common clock and what does not come out even in strict
-- sharing (2), then of every lane its pass, its virtual time, the moment of its oldest action (ms) and how many actions a tenant
-- gave when it was served last.
local STATES = '>ddd' .. 'dddd' .. 'dddd' .. 'dddd' .. 'dddd' .. 'dddd'
local function states_of(stored)
  return stored and {struct.unpack(STATES, stored)} or {}
end

-- The virtual time of a lane.
local function virtual_of(states, lane)
  return states[4 * PLACE[lane] + 1] or 0
end

-- Returns milliseconds and microseconds: those given, or the server's own when 0 is given.
local function clock(given)
  local ms = tonumber(given)
  if ms > 0 then
    stamp = ms * 1000
    return ms, stamp
  end
  local time = call('TIME')
  stamp = tonumber(time[1]) * 1000000 + tonumber(time[2])
  return math.floor(stamp / 1000), stamp
end

-- Header of a body, big endian: when it became visible in microseconds (7), magic, lane, tier (places in LANES), flags, most
-- attempts, most crashes (a byte each), how long it may wait for its first claim from then on, how long it may take from then
-- on, its budget from the first claim (5 each, milliseconds, 0 = no limit), lengths of tenant and middle (a byte each), tenant,
-- middle. `engine/entry.rs` writes and reads the same. The moment stands first because the script puts it there: of a string
-- Lua hashes every byte, so it makes as few long ones as it can.
local HEADER, MAGIC, DATED, FIXED, LONGEST = '>I7BBBBBBI5I5I5BB', 78, 7, 30, 286
local ROOT, OUTCOME, ORDERED, SELDOM = 1, 2, 4, 8

local function has(flags, flag)
  return math.floor(flags / flag) % 2 == 1
end

-- Reads the header of a body into a table; nil when it is not one of ours.
local function parse(body)
  if not body or #body < FIXED then return nil end
  local enqueued, magic, lane, tier, flags, attempts, crashes, wait, within, budget, tenant, middle =
    struct.unpack(HEADER, body)
  if magic ~= MAGIC or not LANES[lane] or not LANES[tier] or tier == 1 or #body < FIXED + tenant + middle then return nil end
  local visible = math.floor(enqueued / 1000)
  return {
    lane = LANES[lane], tier = LANES[tier], enqueued = enqueued, attempts = attempts, crashes = crashes, budget = budget,
    wait = wait > 0 and visible + wait or 0, deadline = within > 0 and visible + within or 0,
    tenant = string.sub(body, FIXED + 1, FIXED + tenant),
    middle = string.sub(body, FIXED + tenant + 1, FIXED + tenant + middle),
    root = has(flags, ROOT), outcome = has(flags, OUTCOME), ordered = has(flags, ORDERED),
  }
end

-- Returns a body that became visible at another moment.
local function dated(body, us)
  return struct.pack('>I7', us) .. string.sub(body, DATED + 1)
end

-- Reads the header alone, without moving the payload.
local function head_of(id)
  return parse(call('GETRANGE', BODY .. id, 0, LONGEST - 1))
end

local function queue_name(middle, lane)
  return DOMAIN .. ':' .. middle .. ':' .. lane
end

local function queue_of(tenant, middle, lane)
  return tenant .. ':' .. DOMAIN .. ':' .. middle .. ':' .. lane
end

local function queue_key(tenant, middle, lane)
  return T .. 'q:' .. queue_of(tenant, middle, lane)
end

-- Adds to the fields of a hash; all in one go when there are several. What is known of them need not be asked.
local function add(hash, changes, known)
  local fields = {}
  for field, change in pairs(changes) do
    if change ~= 0 then fields[#fields + 1] = field end
  end
  if #fields == 0 then return end
  if #fields == 1 then return call('HINCRBY', hash, fields[1], changes[fields[1]]) end
  local values = {}
  local before = not known and call('HMGET', hash, unpack(fields))
  for i, field in ipairs(fields) do
    values[2 * i - 1], values[2 * i] = field, (known and known[field] or tonumber(before[i] or 0)) + changes[field]
  end
  call('HSET', hash, unpack(values))
end

local function count(lane, tenant, change)
  counted[lane] = (counted[lane] or 0) + change
  if lane ~= 'callbacks' then tenants_counted[tenant] = (tenants_counted[tenant] or 0) + change end
end

local function any_ordered()
  if known_ordered == nil then known_ordered = seldom and call('EXISTS', T .. 'ol') == 1 end
  return known_ordered
end
local function any_parked()
  if known_parked == nil then known_parked = seldom and call('EXISTS', T .. 'park') == 1 end
  return known_parked
end

-- Makes the tenants ready whose rings were empty. Who was idle starts at the present virtual time of the lane; who left while
-- ahead of it starts where it left.
local function make_ready()
  local states
  for lane, tenants in pairs(coming) do
    states = states or states_of(call('HGET', T .. 'v', 'lanes'))
    local virtual, members = virtual_of(states, lane), {}
    for i, tenant in ipairs(tenants) do members[2 * i - 1], members[2 * i] = virtual, tenant end
    call('ZADD', READY[lane], 'GT', unpack(members))
  end
  if states then coming = {} end
end

-- Makes a tenant ready again that was parked: where it was, but not behind the present virtual time, as nothing is saved up.
local function rejoin(lane, tenant, virtual)
  call('ZADD', READY[lane], virtual, tenant)
  coming[lane] = coming[lane] or {}
  table.insert(coming[lane], tenant)
end

-- A queue that has something to give enters its tenant's ring; a ring that was empty makes its tenant ready, with the next
-- `make_ready`.
local function enter(tenant, middle, lane)
  if call('RPUSH', RING[lane] .. tenant, middle) > 1 then return end
  local tenants = coming[lane]
  if not tenants then
    tenants = {}
    coming[lane] = tenants
  end
  tenants[#tenants + 1] = tenant
end

-- Puts an id into its queue. Of a queue whose actions run one at a time the one that ran may stand at the head again, and
-- then others may follow; as long as one runs, the queue stays out of its ring.
local function put(lane, tenant, middle, ordered, id, at_head)
  local length = call(at_head and 'LPUSH' or 'RPUSH', queue_key(tenant, middle, lane), id)
  local enters = length == 1
  if ordered and call('HSETNX', T .. 'ol', queue_of(tenant, middle, lane), '') == 1 then known_ordered = true end
  if any_ordered() then
    local queue = queue_of(tenant, middle, lane)
    local holder = call('HGET', T .. 'ol', queue)
    if holder == id then
      call('HSET', T .. 'ol', queue, '')
      enters = true
    elseif holder and holder ~= '' then
      enters = false
    end
  end
  if enters then enter(tenant, middle, lane) end
  count(lane, tenant, 1)
  woken = true
  return length
end

local function push(entry, id, at_head)
  return put(entry.lane, entry.tenant, entry.middle, entry.ordered, id, at_head)
end

-- Forgets that the actions of an empty queue ran one at a time, unless one runs.
local function leave(tenant, middle, lane)
  if not any_ordered() then return end
  local queue = queue_of(tenant, middle, lane)
  if call('HGET', T .. 'ol', queue) == '' then call('HDEL', T .. 'ol', queue) end
end

-- Lets the next action of a queue go whose actions run one at a time, if this one was the one that ran.
local function unlock(tenant, middle, lane, id)
  if not any_ordered() then return end
  local queue = queue_of(tenant, middle, lane)
  local holder = call('HGET', T .. 'ol', queue)
  if holder ~= id then return end
  if call('EXISTS', T .. 'q:' .. queue) == 1 then
    call('HSET', T .. 'ol', queue, '')
    enter(tenant, middle, lane)
    woken = true
  else
    call('HDEL', T .. 'ol', queue)
  end
end

-- Writes what was put off, and leaves a token for one waiting worker when something became visible. `holds`: how many actions
-- of the tenants waited before, if that is known.
local function close(holds)
  make_ready()
  add(T .. 'n', counted)
  add(WAITING, tenants_counted, holds)
  counted, tenants_counted = {}, {}
  if woken and call('LLEN', T .. 'wake') == 0 then call('RPUSH', T .. 'wake', '1') end
end
