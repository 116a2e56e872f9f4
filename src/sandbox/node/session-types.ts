// What a signing session is made of, and what it proves.

export interface Employee {
  readonly identifier: string;
  readonly initials: string;
  readonly familyName: string;
  readonly roleName?: string | undefined;
}

/** What a token says about the person at the other side; all texts, `""` when unknown. */
export interface UserClaims {
  readonly initials: string;
  readonly prefix: string;
  readonly family_name: string;
  readonly email: string;
  readonly username: string;
  readonly user_role: string;
  readonly assurance_level: string;
}

export type EmployeeState = 'created' | 'in-progress' | 'completed' | 'vp-requested' | 'cancelled' | 'errored' | 'expired';

export type SignSession =
  | { readonly means: 'dummy'; readonly id: string; readonly contract: string; polls: number }
  | {
      readonly means: 'employeeid';
      readonly id: string;
      readonly contract: string;
      readonly employer: string;
      readonly employee: Employee;
      /** Stands hidden in the page's form, so that only who was shown the page can confirm. */
      readonly secret: string;
      readonly startedAt: number;
      state: EmployeeState;
    };

export type EmployeeSession = Extract<SignSession, { means: 'employeeid' }>;
