{# The tier machine: rules in docs/state_machine.md. A tier changes in `earned_rank_after` and `tier_rank_after` alone;
   `tier_transition` makes the whole state of them. The daily model applies it to the state of the day before, `replayed_states` to
   whole histories. Arguments `state`, `inputs`, `before` and `after` map a name to a SQL expression, so the same text serves
   columns and elements of tuples. Nothing here needs dbt. #}

{# A part of the state before a day, in the ranks of the day's ladder, which may have become shorter: ranks beyond it are its lowest.
   That is no change of the tier. Who was cut off counts anew, and nobody waits to fall below the lowest. #}
{% macro within_ladder(name, state, lowest_rank) -%}
    {%- if name in ('earned_rank', 'tier_rank') -%}
    least({{ state[name] }}, {{ lowest_rank }})
    {%- elif name in ('up_count', 'up_rank') -%}
    if({{ state.earned_rank }} > {{ lowest_rank }}, 0, {{ state[name] }})
    {%- elif name in ('down_count', 'down_rank') -%}
    if({{ state.earned_rank }} >= {{ lowest_rank }}, 0, {{ state[name] }})
    {%- else -%}
    {{ state[name] }}
    {%- endif -%}
{%- endmacro %}

{# The rank that is earned after a day; the state is that of within_ladder(). The names given inside (machine_...) are visible where
   the macro is used. #}
{% macro earned_rank_after(state, inputs) -%}
    toUInt8(multiIf(
        ({{ inputs.is_new }}) = 1, if({{ inputs.treatment }} = 'lowest', {{ inputs.lowest_rank }}, {{ inputs.candidate_rank }}),
        {{ inputs.treatment }} = 'freeze', {{ state.earned_rank }},
        {{ inputs.treatment }} = 'lowest', {{ inputs.lowest_rank }},
        {{ inputs.treatment }} = 'follow', {{ inputs.candidate_rank }},
        (
            (({{ inputs.strict_rank }} < {{ state.earned_rank }}) as machine_is_above)
            and (least({{ state.up_count }} + 1, 250) as machine_up_count) >= {{ inputs.confirm_up_decisions }}
        ),
        (greatest({{ state.up_rank }}, {{ inputs.strict_rank }}) as machine_up_rank),
        (
            (({{ inputs.treatment }} = 'decide' and {{ inputs.lenient_rank }} > {{ state.earned_rank }}) as machine_is_below)
            and {{ inputs.is_downgrade_day }} = 1
            and (least({{ state.down_count }} + 1, 250) as machine_down_count) >= {{ inputs.confirm_down_decisions }}
            and {{ inputs.as_of_date }} - {{ state.earned_since_date }} >= {{ inputs.minimum_dwell_days }}
            and {{ inputs.as_of_date }} - {{ state.upgraded_on }} >= {{ inputs.grace_days_after_upgrade }}
        ),
        least(
            (
                if({{ state.down_rank }} = 0, {{ inputs.lenient_rank }}, least({{ state.down_rank }}, {{ inputs.lenient_rank }}))
                as machine_down_rank
            ),
            {{ state.earned_rank }} + {{ inputs.maximum_steps_down }}
        ),
        {{ state.earned_rank }}
    ))
{%- endmacro %}

{# The rank in force, of the earned one. #}
{% macro tier_rank_after(earned_rank, inputs) -%}
    toUInt8(if({{ inputs.override_rank }} > 0, {{ inputs.override_rank }}, greatest({{ earned_rank }}, {{ inputs.cap_rank }})))
{%- endmacro %}

{# The state after a day, from that of within_ladder(), as a tuple: earned_rank, earned_since_date, upgraded_on, up_count,
   up_rank, down_count, down_rank, tier_rank, tier_since_date. The names given to its parts (machine_...) are visible where the macro is used. #}
{% macro tier_transition(state, inputs) -%}
    tuple(
        {{ earned_rank_after(state, inputs) }} as machine_earned_rank,
        if(
            (({{ inputs.is_new }}) = 1 or machine_earned_rank != {{ state.earned_rank }}) as machine_is_changed,
            {{ inputs.as_of_date }}, {{ state.earned_since_date }}
        ),
        multiIf(
            ({{ inputs.is_new }}) = 1, toDate(0),
            machine_earned_rank < {{ state.earned_rank }}, {{ inputs.as_of_date }},
            {{ state.upgraded_on }}
        ),
        {# Counters: nothing counts after a change or without a decision, everything stays under `freeze`. -#}
        {% for counter in ['up_count', 'up_rank'] -%}
        toUInt8(multiIf(
            machine_is_changed, 0,
            {{ inputs.treatment }} = 'freeze', {{ state[counter] }},
            {{ inputs.treatment }} in ('decide', 'protect') and machine_is_above, machine_{{ counter }},
            0
        )),
        {% endfor -%}
        {% for counter in ['down_count', 'down_rank'] -%}
        toUInt8(multiIf(
            machine_is_changed, 0,
            {{ inputs.treatment }} = 'freeze', {{ state[counter] }},
            {{ inputs.treatment }} != 'decide', 0,
            {{ inputs.is_downgrade_day }} = 0, {{ state[counter] }},
            machine_is_below, machine_{{ counter }},
            0
        )),
        {% endfor -%}
        {{ tier_rank_after('machine_earned_rank', inputs) }} as machine_tier_rank,
        if(
            ({{ inputs.is_new }}) = 0 and machine_tier_rank = {{ state.tier_rank }},
            {{ state.tier_since_date }}, {{ inputs.as_of_date }}
        )
    )
{%- endmacro %}

{# What the day decided, seen from outside. #}
{% macro tier_decision(before, inputs, after) -%}
    multiIf(
        {{ inputs.override_rank }} > 0, 'overridden',
        {{ inputs.is_new }} = 1, 'new',
        {{ inputs.cap_rank }} > {{ after.earned_rank }}, 'capped',
        {{ after.tier_rank }} < {{ before.tier_rank }}, 'upgraded',
        {{ after.tier_rank }} > {{ before.tier_rank }}, 'downgraded',
        {{ inputs.candidate_rank }} != {{ after.tier_rank }}, 'held',
        'kept'
    )
{%- endmacro %}

{# Why, as a code. #}
{% macro tier_reason(before, inputs, after) -%}
    multiIf(
        {{ inputs.override_rank }} > 0, 'override',
        {{ inputs.is_new }} = 1, 'first_seen',
        {{ inputs.cap_rank }} > {{ after.earned_rank }}, 'gate',
        {{ after.tier_rank }} != {{ before.tier_rank }} and {{ after.earned_rank }} = {{ before.earned_rank }},
        'gate_or_override_ended',
        {{ inputs.treatment }} != 'decide' and {{ inputs.standing }} != 'active' and (
            {{ after.earned_rank }} != {{ before.earned_rank }} or {{ inputs.candidate_rank }} != {{ after.earned_rank }}
        ),
        multiIf({{ inputs.standing }} = 'new', 'new_customer', {{ inputs.standing }} = 'lapsed', 'lapsed', 'blocked'),
        {{ after.earned_rank }} < {{ before.earned_rank }}, 'confirmed_up',
        {{ after.earned_rank }} > {{ before.earned_rank }}, 'confirmed_down',
        {{ after.up_count }} > 0, 'waiting_up',
        {{ inputs.lenient_rank }} > {{ after.earned_rank }} and {{ after.down_count }} >= {{ inputs.confirm_down_decisions }}
        and {{ inputs.as_of_date }} - {{ after.upgraded_on }} < {{ inputs.grace_days_after_upgrade }},
        'grace',
        {{ inputs.lenient_rank }} > {{ after.earned_rank }} and {{ after.down_count }} >= {{ inputs.confirm_down_decisions }}
        and {{ inputs.as_of_date }} - {{ after.earned_since_date }} < {{ inputs.minimum_dwell_days }},
        'dwell',
        {{ after.down_count }} > 0 or {{ inputs.lenient_rank }} > {{ after.earned_rank }}, 'waiting_down',
        {{ inputs.candidate_rank }} != {{ after.earned_rank }}, 'within_band',
        'criteria_met'
    )
{%- endmacro %}

{# 1 when one of the weekdays in the bit mask `weekdays` (bit 0 = Monday) falls into (previous_date, as_of_date]; 0 without a day
   before (1970-01-01). #}
{% macro is_downgrade_day(weekdays, previous_date, as_of_date) -%}
    toUInt8(arrayExists(
        back -> bitTest({{ weekdays }}, toDayOfWeek({{ as_of_date }} - back) - 1),
        if({{ previous_date }} = toDate(0), [], range(toUInt64(least({{ as_of_date }} - {{ previous_date }}, 7))))
    ))
{%- endmacro %}

{# Names of the inputs that a stored day holds for the machine, beside customer_id and policy. #}
{% macro tier_input_names() -%}
as_of_date,candidate_rank,strict_rank,lenient_rank,standing,treatment,cap_rank,override_rank,lowest_rank,confirm_up_decisions,
confirm_down_decisions,maximum_steps_down,minimum_dwell_days,grace_days_after_upgrade,downgrade_weekdays
{%- endmacro %}

{# A whole history at once, for a FROM clause: one row per row of `relation`, which has customer_id, policy and the inputs of
   tier_input_names(), with is_new, is_downgrade_day, the state after the day, the tier before it, decision and reason.
   `start` names a relation with customer_id, policy and the state after the stored day before all days of `relation`, which is
   `start_date`; without it the history begins with the first day. (What a left join does not find must be 0, not null:
   join_use_nulls = 0.) lowest_rank and the columns of the policy are the same for all customers of one policy and day. `days`: a
   relation with policy, as_of_date and those columns, of all days, which spares reading `relation` twice. #}
{% macro replayed_states(relation, start=none, start_date=none, days=none) -%}
    {%- set names = tier_input_names().replace('\n', '').split(',') -%}
    {%- set row_inputs = {'is_new': 'is_new', 'is_downgrade_day': 'is_downgrade_day'} -%}
    {%- for name in names %}{% do row_inputs.update({name: name}) %}{% endfor -%}
    {%- set stored, before, after = {}, {}, {} -%}
    {%- for name in tier_state_names().split(',') -%}
        {%- do stored.update({name: 'state_before.' ~ loop.index}) -%}
        {%- do after.update({name: name}) -%}
    {%- endfor -%}
    {%- for name in stored -%}
        {%- do before.update({name: within_ladder(name, stored, 'lowest_rank')}) -%}
    {%- endfor -%}
    (
        with replayed as (
            select
                policy,
                customer_id,
                {% for name in names -%}
                x.{{ loop.index }} as {{ name }},
                {% endfor -%}
                x.{{ names | length + 1 }} as is_downgrade_day,
                x.{{ names | length + 2 }} as is_new,
                {% for name in tier_state_names().split(',') -%}
                state_after.{{ loop.index }} as {{ name }},
                {% endfor -%}
                state_before,
                {{ before.tier_rank }} as previous_rank
            from {{ replay_histories(relation, start, start_date, days) }}
            array join
                days as x, states as state_after, arrayPushFront(arrayPopBack(states), start_state) as state_before
        )

        select
            * except (state_before, previous_rank),
            if(is_new = 1, 0, previous_rank) as previous_rank,
            {{ tier_decision(before, row_inputs, after) }} as decision,
            {{ tier_reason(before, row_inputs, after) }} as reason_code
        from replayed
    )
{%- endmacro %}

{# The tiers of whole histories, as stability_totals reads them: one row per policy, as `variant`, and customer. Arguments as for
   replayed_states, whose tiers these are; nothing else is kept of the states, and the days stay in arrays. #}
{% macro replayed_tiers(relation, start=none, start_date=none, days=none) -%}
    {%- set names = tier_input_names().replace('\n', '').split(',') -%}
    {%- set day, candidate = 'x.' ~ (names.index('as_of_date') + 1), 'x.' ~ (names.index('candidate_rank') + 1) -%}
    (
        select
            policy as variant,
            customer_id,
            arrayMap((x, tier_rank) -> {{ packed_day(day, 'tier_rank', candidate) }}, days, states) as days
        from {{ replay_histories(relation, start, start_date, days, tiers_only=true) }}
    )
{%- endmacro %}

{# One step of the machine, for a FROM clause: customer_id and tier_rank after the only day of `relation`, which has customer_id and
   the inputs of tier_input_names(). `start` and `start_date` as for replayed_states. The rest of the state is left out of the text:
   the engine takes longer to plan it than to step 200,000 customers. #}
{% macro stepped_tiers(relation, start=none, start_date=none) -%}
    {%- set inputs = {'is_new': 'is_new', 'is_downgrade_day': 'is_downgrade_day'} -%}
    {%- for name in tier_input_names().replace('\n', '').split(',') %}{% do inputs.update({name: name}) %}{% endfor -%}
    {%- set stored, state = {}, {} -%}
    {%- for name in tier_state_names().split(',') if not name.startswith('tier_') -%}
        {%- do stored.update({name: 'start_states.' ~ name if start else 'to' ~ ('Date' if name.endswith(('_date', '_on')) else 'UInt8') ~ '(0)'}) -%}
        {%- do state.update({name: 'before_' ~ name}) -%}
    {%- endfor -%}
    (
        with stepping as (
            select
                relation.*,
                {{ is_downgrade_day('downgrade_weekdays', start_date or 'toDate(0)', 'as_of_date') }} as is_downgrade_day,
                toUInt8({{ 'start_states.earned_rank = 0' if start else '1' }}) as is_new
                {%- for name, before in state.items() %},
                {{ within_ladder(name, stored, 'relation.lowest_rank') }} as {{ before }}
                {%- endfor %}
            from {{ relation }} as relation
            {% if start -%}
            left join {{ start }} as start_states on relation.customer_id = start_states.customer_id
            {%- endif %}
        )

        select customer_id, {{ earned_rank_after(state, inputs) }} as earned_rank, {{ tier_rank_after('earned_rank', inputs) }} as tier_rank
        from stepping
    )
{%- endmacro %}

{# Names of the parts of a state. #}
{% macro tier_state_names() -%}
earned_rank,earned_since_date,upgraded_on,up_count,up_rank,down_count,down_rank,tier_rank,tier_since_date
{%- endmacro %}

{# One row per policy and customer of `relation`: `days`, the inputs of each day in the order of tier_input_names(), then
   is_downgrade_day and is_new, oldest first; `start_state`; and `states`, the state after each day, with `tiers_only` only the rank
   of its tier. Other arguments as for replayed_states. #}
{% macro replay_histories(relation, start=none, start_date=none, days=none, tiers_only=false) -%}
    {%- set names = tier_input_names().replace('\n', '').split(',') -%}
    {%- set state_names = tier_state_names().split(',') -%}
    {%- set fold_inputs = {'is_new': 'x.' ~ (names | length + 2), 'is_downgrade_day': 'x.' ~ (names | length + 1)} -%}
    {%- for name in names -%}
        {%- do fold_inputs.update({name: 'x.' ~ loop.index}) -%}
    {%- endfor -%}
    {%- set folded, fold_state = {}, {} -%}
    {%- for name in state_names -%}
        {%- do folded.update({name: 'a.1.' ~ loop.index}) -%}
    {%- endfor -%}
    {%- for name in state_names -%}
        {%- do fold_state.update({name: within_ladder(name, folded, fold_inputs.lowest_rank)}) -%}
    {%- endfor -%}
    {#- What the machine is told, as three numbers of 64 bits: the first differs by customer, the others are the rules of the day, of
        which there are few, so that only the first is gathered into histories. Each name with its type and its lowest bit; the day
        is in the highest bits of the first number, which is what sorts. -#}
    {%- set layout = [
        ('packed', [
            ('standing', standing_type(), 0), ('treatment', treatment_type(), 4),
            ('override_rank', 'UInt8', 8), ('cap_rank', 'UInt8', 16), ('lenient_rank', 'UInt8', 24), ('strict_rank', 'UInt8', 32),
            ('candidate_rank', 'UInt8', 40), ('as_of_date', 'Date', 48),
        ]),
        ('rules', [
            ('lowest_rank', 'UInt8', 0), ('confirm_up_decisions', 'UInt8', 8), ('confirm_down_decisions', 'UInt8', 16),
            ('maximum_steps_down', 'UInt8', 24), ('downgrade_weekdays', 'UInt8', 32), ('is_downgrade_day', 'UInt8', 40),
            ('minimum_dwell_days', 'UInt16', 48),
        ]),
        ('more_rules', [('grace_days_after_upgrade', 'UInt16', 0), ('previous_date', 'Date', 16)]),
    ] -%}
    {%- set packed, unpacked = {}, {} -%}
    {%- for number, parts in layout -%}
        {%- set terms = [] -%}
        {%- for name, type, bit in parts -%}
            {%- set width = 'UInt16' if type in ('Date', 'UInt16') else 'UInt8' -%}
            {%- set value = 'cast(' ~ name ~ ' as ' ~ type ~ ')' -%}
            {%- set value = 'toUInt8(' ~ value ~ ')' if type.startswith('Enum8') else value -%}
            {%- do terms.append('bitShiftLeft(toUInt64(' ~ value ~ '), ' ~ bit ~ ')') -%}
            {%- set bits = 'bitShiftRight(' ~ number ~ ', ' ~ bit ~ ')' -%}
            {%- set bits = 'bitAnd(' ~ bits ~ ', 15)' if type.startswith('Enum8') else bits -%}
            {%- do unpacked.update({name: 'cast(to' ~ width ~ '(' ~ bits ~ ') as ' ~ type ~ ')'}) -%}
        {%- endfor -%}
        {%- do packed.update({number: terms | join(' + ')}) -%}
    {%- endfor -%}
    {%- set rule_names = (names | reject('in', layout[0][1] | map('first') | list)) | list -%}
    {%- set first_date = start_date or 'toDate(0)' -%}
    (
        with (
            select (
                groupArray(bitShiftLeft(toUInt64(policy_number), 16) + toUInt16(as_of_date)),
                groupArray({{ packed.rules }}),
                groupArray({{ packed.more_rules }}),
                arraySort(groupUniqArray(policy))
            )
            from (
                select
                    *,
                    dense_rank() over (order by policy) as policy_number,
                    greatest(
                        max(as_of_date) over (order by as_of_date range between unbounded preceding and 1 preceding), {{ first_date }}
                    ) as previous_date,
                    {{ is_downgrade_day('downgrade_weekdays', 'previous_date', 'as_of_date') }} as is_downgrade_day
                from (
                    select cast(policy as String) as policy, as_of_date{% for name in rule_names %}, any({{ name }}) as {{ name }}{% endfor %}
                    from {{ days or relation }}
                    group by policy, as_of_date
                )
            )
        ) as rules_of_days,

        replay_days_of_customers as (
            select policy, customer_id, arraySort(groupArray({{ packed.packed }})) as stored
            from {{ relation }} as relation
            group by policy, customer_id
            -- Else the aggregation hands out hundreds of small blocks, and the fold costs four times as much.
            settings group_by_two_level_threshold = 0, group_by_two_level_threshold_bytes = 0
        ),

        replay_days_with_rules as (
            select
                *,
                arrayMap(packed -> {{ unpacked.as_of_date }}, stored) as dates,
                arrayMap(
                    day -> bitShiftLeft(toUInt64(indexOf(rules_of_days.4, cast(policy as String))), 16) + toUInt16(day), dates
                ) as days_of_policy,
                arrayMap(day -> transform(day, rules_of_days.1, rules_of_days.2, toUInt64(0)), days_of_policy) as stored_rules,
                arrayMap(day -> transform(day, rules_of_days.1, rules_of_days.3, toUInt64(0)), days_of_policy) as stored_more_rules
            from replay_days_of_customers
        ),

        replay_days_in_order as (
            select
                policy,
                customer_id,
                {% if start -%}
                tuple({% for name in state_names %}start_states.{{ name }}{{ ', ' if not loop.last }}{% endfor %}) as start_state,
                {%- else -%}
                tuple(toUInt8(0), toDate(0), toDate(0), toUInt8(0), toUInt8(0), toUInt8(0), toUInt8(0), toUInt8(0), toDate(0)) as start_state,
                {%- endif %}
                arrayMap(
                    (packed, rules, more_rules, earlier) -> ({% for name in names %}{{ unpacked[name] }}, {% endfor %}
                        {{ unpacked.is_downgrade_day }}, toUInt8({{ unpacked.previous_date }} != earlier)),
                    -- The first day of a customer is new, whatever day was stored before it, unless there is a state to start from.
                    stored, stored_rules, stored_more_rules, arrayPushFront(
                        arrayPopBack(dates),
                        {{ "if(start_states.earned_rank > 0, " ~ first_date ~ ", toDate('2149-06-06'))" if start else "toDate('2149-06-06')" }}
                    )
                ) as days
            from replay_days_with_rules
            {% if start -%}
            left join {{ start }} as start_states using (policy, customer_id)
            {% endif -%}
        )

        select
            policy,
            customer_id,
            start_state,
            days,
            {% if tiers_only -%}
            arrayFold(
                (a, x) -> ({{ tier_transition(fold_state, fold_inputs) }} as next, arrayPushBack(a.2, next.8)),
                days, (start_state, emptyArrayUInt8())
            ).2 as states
            {%- else -%}
            -- Every step copies the states so far, so a long history is folded in pieces of four weeks.
            arrayFold(
                (whole, piece) -> (
                    (
                        arrayFold(
                            (a, x) -> ({{ tier_transition(fold_state, fold_inputs) }} as next, arrayPushBack(a.2, next)),
                            piece, (whole.1, arrayResize([start_state], 0))
                        ) as folded
                    ).1,
                    arrayConcat(whole.2, folded.2)
                ),
                arrayMap(start -> arraySlice(days, start + 1, 28), range(0, length(days), 28)),
                (start_state, arrayResize([start_state], 0))
            ).2 as states
            {%- endif %}
        from replay_days_in_order
    )
{%- endmacro %}
