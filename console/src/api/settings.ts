// The settings of the relay, as every page that shows one of them asks for them.
import { queryOptions } from '@tanstack/react-query';
import { api, need } from './client';

export const relaySettingsQuery = queryOptions({
  queryKey: ['settings', 'relay'],
  queryFn: ({ signal }) => need(api.GET('/v1/operator/settings', { signal })),
});
