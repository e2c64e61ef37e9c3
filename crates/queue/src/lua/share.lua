-- share.lua: how a claim's slots are shared between the lanes.

-- Reads what is set at run time over what the process was started with. `is_set`: whether anything is.
--   weights  shares of the tiers; strict: highest tier first, but for a reserve shared by weight
--   reserve  that part, 0 to 1; quantum: most actions of a tenant before the next one's turn
--   cap      most leases of a tenant, 0 = no limit; ageing: age of a tier's work (ms) from which its weight grows, 0 = never
local function settings(is_set, weights, strict, reserve, quantum, cap, ageing)
  local known = {weight = {}, ageing = {}, paused = {}, strict = strict == 'strict', reserve = tonumber(reserve) / 100,
    quantum = tonumber(quantum), cap = tonumber(cap), all_paused = false}
  for i = 2, #LANES do
    known.weight[LANES[i]], known.ageing[LANES[i]] = tonumber(weights[i - 1]), tonumber(ageing[i - 1])
  end
  if not is_set then return known end
  local set, pairs_of = {}, call('HGETALL', T .. 'cfg')
  for i = 1, #pairs_of, 2 do set[pairs_of[i]] = pairs_of[i + 1] end
  for i = 2, #LANES do
    local lane = LANES[i]
    known.weight[lane] = tonumber(set['weight:' .. lane] or known.weight[lane])
    known.ageing[lane] = tonumber(set['ageing:' .. lane] or known.ageing[lane])
    known.paused[lane] = set['pause:' .. lane] ~= nil
  end
  if set.sharing then known.strict = set.sharing == 'strict' end
  if set.reserve then known.reserve = tonumber(set.reserve) / 100 end
  known.quantum = tonumber(set.quantum or quantum)
  known.cap = tonumber(set.cap or cap)
  known.all_paused = set.pause ~= nil
  return known
end

-- Returns how much the weight of a tier grows with the age of its work: up to four times.
local function aged(age, slo)
  if slo <= 0 or age <= slo then return 1 end
  return math.min(4, age / slo)
end

-- Gives slots to the lane with the least pass, in the order of LANES when equal.
local function by_weight(open, slots, pass, weight, share)
  local at = {}
  for _, lane in ipairs(open) do at[lane] = pass[lane] + share[lane] / weight[lane] end
  for _ = 1, slots do
    local best = open[1]
    for _, lane in ipairs(open) do
      if at[lane] < at[best] then best = lane end
    end
    share[best] = share[best] + 1
    at[best] = at[best] + 1 / weight[best]
  end
end

-- Decides how many of `slots` each open lane gets. Strict: callbacks up to half, then the highest tier, but for the reserve.
-- `carry` takes over what does not come out even: `credit` saves the reserve up until it makes a slot, `half` is the half slot
-- that callbacks had too much. Returns the shares, and those slots of them that are not charged: what a tier has by its place
-- must not count against it when slots are shared by weight.
local function shares(open, slots, pass, weight, known, carry)
  local share, free = {}, {}
  for _, lane in ipairs(open) do share[lane] = 0 end
  if #open == 1 then
    share[open[1]] = slots
    if known.strict then free[open[1]] = slots end
    return share, free
  end
  if not known.strict then
    by_weight(open, slots, pass, weight, share)
    return share, free
  end
  local tiers, left = open, slots
  if open[1] == 'callbacks' then
    share.callbacks = math.ceil(slots / 2 - carry.half)
    carry.half = share.callbacks - (slots / 2 - carry.half)
    free.callbacks = share.callbacks
    left = slots - share.callbacks
    tiers = {unpack(open, 2)}
  end
  carry.credit = carry.credit + left * known.reserve
  local reserved = math.min(left, math.floor(carry.credit + 1e-9))
  by_weight(tiers, reserved, pass, weight, share)
  share[tiers[1]] = share[tiers[1]] + left - reserved
  free[tiers[1]] = left - reserved
  carry.credit = carry.credit - reserved
  return share, free
end
