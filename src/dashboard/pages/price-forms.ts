import type { Context } from 'hono'
import { type Faults, form, formField } from '../components/form.ts'
import type { DashboardEnv } from '../env.ts'
import { html, type Html } from '../html.ts'

/** The form that was sent, with what is wrong with it. */
export interface SentForm {
  fields?: Readonly<Record<string, string>>
  faults?: Faults
  form?: 'model' | 'tool' | 'rerate'
}

const DAY_HINT = 'Empty: today, in UTC'

/** What administrators may change about prices. */
export function priceForms(c: Context<DashboardEnv>, sent: SentForm): Html {
  const path = `${c.var.base}/prices`
  const of = (name: SentForm['form']) => (sent.form === name ? sent : {})
  const [model, tool, anew] = [of('model'), of('tool'), of('rerate')]
  const open = (one: SentForm): Html | '' => (one.faults === undefined ? '' : html` open`)
  return html`<h2>Administration</h2>
    <details class="panel" ${open(model)}>
      <summary>Set the price of a model</summary>
      ${form(c, {
        action: `${path}/model`,
        button: 'Save price',
        ...(model.faults === undefined ? {} : { faults: model.faults }),
        fields: html`
          ${formField({ name: 'provider', label: 'Provider', value: model.fields?.['provider'], required: true }, model.faults)}
          ${formField({ name: 'model_name', label: 'Model', value: model.fields?.['model_name'], required: true, hint: 'As calls are recorded with it' }, model.faults)}
          ${formField({ name: 'input_price_per_1k', label: 'Prompt, USD for 1,000 tokens', value: model.fields?.['input_price_per_1k'], required: true, keys: 'decimal' }, model.faults)}
          ${formField({ name: 'output_price_per_1k', label: 'Completion, USD for 1,000 tokens', value: model.fields?.['output_price_per_1k'], required: true, keys: 'decimal' }, model.faults)}
          ${formField({ name: 'cached_price_per_1k', label: 'From a cache, USD for 1,000 tokens', value: model.fields?.['cached_price_per_1k'], keys: 'decimal', hint: 'Empty: as any other prompt' }, model.faults)}
          ${formField({ name: 'effective_date', label: 'From', type: 'date', value: model.fields?.['effective_date'], hint: DAY_HINT }, model.faults)}
          ${formField({ name: 'notes', label: 'Notes', value: model.fields?.['notes'] }, model.faults)}
        `,
      })}
    </details>
    <details class="panel" ${open(tool)}>
      <summary>Set the price of a tool</summary>
      ${form(c, {
        action: `${path}/tool`,
        button: 'Save price',
        ...(tool.faults === undefined ? {} : { faults: tool.faults }),
        fields: html`
          ${formField({ name: 'tool_name', label: 'Tool', value: tool.fields?.['tool_name'], required: true }, tool.faults)}
          ${formField({ name: 'price', label: 'USD for each call', value: tool.fields?.['price'], required: true, keys: 'decimal' }, tool.faults)}
          ${formField({ name: 'effective_at', label: 'From', type: 'date', value: tool.fields?.['effective_at'], hint: 'Empty: now' }, tool.faults)}
          ${formField({ name: 'remark', label: 'Remark', value: tool.fields?.['remark'] }, tool.faults)}
        `,
      })}
    </details>
    <details class="panel" ${open(anew)}>
      <summary>Price recorded calls anew</summary>
      <p>After a price was corrected: calls on record keep their cost until they are priced anew.</p>
      ${form(c, {
        action: `${path}/rerate`,
        button: 'Go on…',
        ...(anew.faults === undefined ? {} : { faults: anew.faults }),
        fields: html`
          ${formField({ name: 'from', label: 'From day', type: 'date', value: anew.fields?.['from'], required: true, hint: 'Its first moment in UTC' }, anew.faults)}
          ${formField({ name: 'to', label: 'Up to, and not with', type: 'date', value: anew.fields?.['to'], hint: 'Empty: now' }, anew.faults)}
          ${formField({ name: 'model', label: 'Model', value: anew.fields?.['model'], hint: 'Empty: all' }, anew.faults)}
        `,
      })}
    </details>`
}
