/**
 * What must happen in one step at a Redis server, as Lua scripts. Each gets KEYS[1], the prefix of all keys, and whoever needs a generation gets the
 * instance and its generation first: a script of an instance that has been fenced changes nothing and answers FENCED.
 *
 *   prefix k KEY           value of a record, with its life              prefix a ALIAS       the key it is another name for
 *   prefix m:log           stream of {i: instance, g: generation, b: batch}; where somebody is fenced also f: 'generation instance' of whom
 *   prefix m:marks         list of log ids, one every so many bytes: where the log is cut off
 *   prefix m:state         hash: generation = the highest given, bytes = logged since the last mark, skew = what the clock has jumped by, in milliseconds
 *   prefix m:generations   hash: instance → its generation, -1 = fenced  prefix m:roles       hash: role → instance
 *   prefix m:registrations hash: instance → 'generation before incarnation atMs asked': what it was told when it registered last, who it was, and when and what it had asked
 *   prefix m:peers         hash: instance → 'generation atMs about'      prefix m:leases      hash: 'address block' → 'generation endsAtMs lifeMs instance'
 *
 * The clock of leases and peers is the server's, made steady by those who ask: each tells which time it expects at least from what it was told last
 * and what has passed since on its own monotonic clock. When the server's clock has jumped ahead of that, the jump is taken out for everybody (skew), so that
 * no lease ends early; when it has been set back, no lease is found to have longer to go than it was given.
 *
 * Cost: a PUT with an alias calls two commands, one without it one, a DELETE two; a batch of 480 such PUTs of 100 bytes has taken 2.5 to 3.5 ms of the server's processor and
 * 0.25 to 0.45 ms of ours on a machine busy with other things. A sixth of it is the parsing; most of the rest is the expiry of keys.
 */
import { createHash } from 'node:crypto';
import { ALIAS_SECONDS } from './batch.js';

export interface Script { readonly name: string; readonly lua: string; readonly sha: string }

function script(name: string, lua: string): Script {
  return { name, lua, sha: createHash('sha1').update(lua).digest('hex') };
}

/** ARGV[1] instance, ARGV[2] generation. */
const OURS = `local P, call = KEYS[1], redis.call
if call('HGET', P .. 'm:generations', ARGV[1]) ~= ARGV[2] then return redis.error_reply('FENCED this generation may not write any more') end
`;

/** ARGV[3] the time we expect, or 0; a jump of less than CLOCK_TOLERANCE_MS is the way of things. Gives `now`. */
export const CLOCK_TOLERANCE_MS = 250;
const CLOCK = `local skew = tonumber(call('HGET', P .. 'm:state', 'skew') or '0')
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) - skew
local expected = tonumber(ARGV[3])
if expected > 0 and now - expected > ${CLOCK_TOLERANCE_MS} then
  call('HSET', P .. 'm:state', 'skew', string.format('%.0f', skew + now - expected))
  now = expected
end
`;

/** Who holds a block: its generation, the moment its life ends, the instance. What cannot be read is somebody's, and stays so: nobody knows what lives in it. */
const HOLDER = `local function holder(field)
  local held = call('HGET', P .. 'm:leases', field)
  if not held then return nil end
  local generation, ends, life, who = string.match(held, '^(%d+) (%d+) (%d+) (.*)$')
  if not generation then return '0', now + 1, '' end
  return generation, math.min(tonumber(ends), now + tonumber(life)), who
end
local function hold(field, life)
  call('HSET', P .. 'm:leases', field, string.format('%s %.0f %d %s', ARGV[2], now + life, life, ARGV[1]))
end
`;

/** Who is fenced reads so in the log, and need not find out by being refused. */
const FENCE = `local function fence(whom)
  local had = call('HGET', P .. 'm:generations', whom)
  if not had or had == '-1' then return end
  call('HSET', P .. 'm:generations', whom, '-1')
  call('XADD', P .. 'm:log', '*', 'i', ARGV[1], 'g', ARGV[2], 'b', '', 'f', had .. ' ' .. whom)
end
`;

/**
 * ARGV: instance, the generation it had or '', expected time, incarnation, milliseconds one is taken for alive, incarnation that is known to be gone or ''. Gives the new
 * generation and what has become of the old; or 0 and the incarnation that has this name and has been heard of. The log is never empty after it. Who asks again has not heard
 * the answer: it gets the same one, unless something has happened since.
 */
const register = script('register', `local P, call = KEYS[1], redis.call
${CLOCK}local last = call('HGET', P .. 'm:registrations', ARGV[1])
local given, answer, who, at, asked
if last then given, answer, who, at, asked = string.match(last, '^(%d+) (%S+) (%S+) (%d+) (%d*)$') end
if who and who ~= ARGV[4] and who ~= ARGV[6] then
  local heard = string.match(call('HGET', P .. 'm:peers', ARGV[1]) or '', '^%d+ (%d+) ')
  if now - math.max(tonumber(at), tonumber(heard or '0')) <= tonumber(ARGV[5]) then return {0, who} end
end
local found = call('HGET', P .. 'm:generations', ARGV[1])
local highest = tonumber(call('HGET', P .. 'm:state', 'generation') or '0')
local before = tonumber(ARGV[2])
local was = 'none'
if before then
  if not found or highest < before then was = 'unknown'
  elseif found == ARGV[2] then was = 'kept'
  else was = 'fenced' end
end
if found and given == found and who == ARGV[4] and asked == ARGV[2] then was = answer end
local generation = string.format('%d', math.max(highest, before or 0) + 1)
call('HSET', P .. 'm:registrations', ARGV[1], string.format('%s %s %s %.0f %s', generation, was, ARGV[4], now, ARGV[2]))
call('HSET', P .. 'm:state', 'generation', generation)
call('HSET', P .. 'm:generations', ARGV[1], generation)
call('XADD', P .. 'm:log', '*', 'i', ARGV[1], 'g', generation, 'b', '')
return {generation, was}
`);

/** ARGV: instance, generation, whom. */
const fence = script('fence', `${OURS}${FENCE}fence(ARGV[3])
return 1
`);

/** ARGV: instance, generation, role. Gives who had it. */
const claim = script('claim', `${OURS}${FENCE}local before = call('HGET', P .. 'm:roles', ARGV[3])
call('HSET', P .. 'm:roles', ARGV[3], ARGV[1])
if before and before ~= ARGV[1] then fence(before) end
return before
`);

/** ARGV: instance, generation, batch, bytes between two marks of the log, marks. The batch is laid out as batch.ts says. */
const write = script('write', `${OURS}local unpack, batch = struct.unpack, ARGV[3]
local K, A, at, length = P .. 'k', P .. 'a', 1, #batch
local ttl, key, alias, value, text
-- A number is turned into text at every call, a text is not.
local texts = {}
while at <= length do
  ttl, key, alias, value, at = unpack('<I4Bc0Bc0Hc0', batch, at)
  if ttl > 0 then
    text = texts[ttl]
    if not text then
      text = {string.format('%d', ttl), string.format('%d', math.max(ttl, ${ALIAS_SECONDS}))}
      texts[ttl] = text
    end
    call('SETEX', K .. key, text[1], value)
    if alias ~= '' then call('SETEX', A .. alias, text[2], key) end
  elseif alias ~= '' and call('GET', A .. alias) == key then call('DEL', K .. key, A .. alias)
  else call('DEL', K .. key) end
end
local id = call('XADD', P .. 'm:log', '*', 'i', ARGV[1], 'g', ARGV[2], 'b', batch)
local bytes, mark, count, oldest = call('HINCRBY', P .. 'm:state', 'bytes', length + 64), tonumber(ARGV[4]), 0, nil
while bytes >= mark do
  bytes = bytes - mark
  count = call('RPUSH', P .. 'm:marks', id)
  if count > tonumber(ARGV[5]) then oldest = call('LPOP', P .. 'm:marks') end
end
if count > 0 then call('HSET', P .. 'm:state', 'bytes', bytes) end
if oldest then call('XTRIM', P .. 'm:log', 'MINID', oldest) end
return 1
`);

/** ARGV: key or alias. */
const fetch = script('fetch', `local P, call = KEYS[1], redis.call
local value = call('GET', P .. 'k' .. ARGV[1])
if value then return value end
local key = call('GET', P .. 'a' .. ARGV[1])
return key and call('GET', P .. 'k' .. key)
`);

/** ARGV: instance, generation, expected time, about, milliseconds one is taken for alive, and after how many it is forgotten. Gives the time, then instance, generation, age, about of each. */
const beat = script('beat', `${OURS}${CLOCK}call('HSET', P .. 'm:peers', ARGV[1], string.format('%s %.0f %s', ARGV[2], now, ARGV[4]))
local found, alive, forget = {string.format('%.0f', now)}, tonumber(ARGV[5]), tonumber(ARGV[6])
local peers = call('HGETALL', P .. 'm:peers')
for i = 1, #peers, 2 do
  local generation, at, about = string.match(peers[i + 1], '^(%d+) (%d+) (.*)$')
  local age = at and math.max(0, now - at) or forget + 1
  if age > forget then call('HDEL', P .. 'm:peers', peers[i])
  elseif age <= alive and peers[i] ~= ARGV[1] then
    local n = #found
    found[n + 1], found[n + 2], found[n + 3], found[n + 4] = peers[i], generation, string.format('%.0f', age), about
  end
end
return found
`);

/** ARGV: instance, generation, expected time, address, how many, for how long, blocks. Gives the time, then the blocks. */
const lease = script('lease', `${OURS}${CLOCK}${HOLDER}local ours, free, ended, given = {}, {}, {}, {string.format('%.0f', now)}
local address, left, life = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
for i = 7, #ARGV do
  local generation, ends, who = holder(address .. ' ' .. ARGV[i])
  if not generation then free[#free + 1] = ARGV[i]
  elseif who == ARGV[1] and generation ~= ARGV[2] then ours[#ours + 1] = ARGV[i]
  elseif ends <= now then ended[#ended + 1] = {ends, i, ARGV[i]} end
end
table.sort(ended, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
local function give(block)
  if left < 1 then return end
  left = left - 1
  hold(address .. ' ' .. block, life)
  given[#given + 1] = block
end
for _, block in ipairs(ours) do give(block) end
for _, block in ipairs(free) do give(block) end
for _, one in ipairs(ended) do give(one[3]) end
return given
`);

/** ARGV: instance, generation, expected time, address, for how long, blocks. Gives the time, then the blocks that are ours. */
const renew = script('renew', `${OURS}${CLOCK}${HOLDER}local kept = {string.format('%.0f', now)}
for i = 6, #ARGV do
  local field = ARGV[4] .. ' ' .. ARGV[i]
  local generation, _, who = holder(field)
  if not generation or who == ARGV[1] then
    hold(field, tonumber(ARGV[5]))
    kept[#kept + 1] = ARGV[i]
  end
end
return kept
`);

/** ARGV: instance, generation, expected time, address, blocks. */
const release = script('release', `${OURS}${CLOCK}${HOLDER}for i = 5, #ARGV do
  local field = ARGV[4] .. ' ' .. ARGV[i]
  local _, _, who = holder(field)
  if who == ARGV[1] then call('HDEL', P .. 'm:leases', field) end
end
return 1
`);

/** Gives 'address block', generation, milliseconds left, instance of each. ARGV[3] = 0. */
const leases = script('leases', `local P, call = KEYS[1], redis.call
${CLOCK}${HOLDER}local found = {}
for _, field in ipairs(call('HKEYS', P .. 'm:leases')) do
  local generation, ends, who = holder(field)
  if ends > now then
    local n = #found
    found[n + 1], found[n + 2], found[n + 3], found[n + 4] = field, generation, string.format('%.0f', ends - now), who
  end
end
return found
`);

/** ARGV: instance, generation, expected time. Its leases end; they are not given back, for flows may live in them. */
const resign = script('resign', `${OURS}${CLOCK}${HOLDER}for _, field in ipairs(call('HKEYS', P .. 'm:leases')) do
  local _, ends, who = holder(field)
  if who == ARGV[1] and ends > now then hold(field, 0) end
end
call('HDEL', P .. 'm:peers', ARGV[1])
call('HDEL', P .. 'm:registrations', ARGV[1])
call('HSET', P .. 'm:generations', ARGV[1], '-1')
return 1
`);

/** Can be written to: refused by a replica, a full server, one without its disk or its cluster, and a user who may not. */
const probe = script('probe', `redis.call('SETEX', KEYS[1] .. 'm:probe', 1, '')
return 1
`);

export const SCRIPTS = { register, fence, claim, write, fetch, beat, lease, renew, release, leases, resign, probe } as const;
export type ScriptName = keyof typeof SCRIPTS;

/** What a user of Redis must be allowed, beside the keys of the prefix: for the documentation, and for the tests, which run as such a user. */
export const NEEDED_COMMANDS: readonly string[] = [
  'auth', 'client|setname', 'client|list', 'select', 'info', 'script|load', 'evalsha', 'scan', 'mget', 'dbsize', 'xread', 'xrange', 'xrevrange', 'time',
  'get', 'setex', 'del', 'hget', 'hset', 'hdel', 'hexists', 'hkeys', 'hgetall', 'hincrby', 'rpush', 'lpop', 'xadd', 'xtrim', 'cluster|slots', 'cluster|keyslot',
];
